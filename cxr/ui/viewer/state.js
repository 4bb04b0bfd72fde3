// What the viewer remembers: of a film as long as the page is open, of the reader's habits across films.

const FILMS_REMEMBERED = 60
const ON = 0.6 // opacity of a heatmap that is switched on
const rememberedFilms = new Map()
const rememberedHabits = new Map()

// Window, view, finding and measures of one film in the viewer of one key. Another film starts from its own defaults.
function stateOf(key, film, finding) {
  const name = `${key}\n${film.id}`
  let state = rememberedFilms.get(name)
  if (!state) {
    state = {
      film: { low: film.low, high: film.high, invert: false, view: newView() },
      square: { low: 0, high: 255, invert: false, view: newView() },
      model: false,
      finding: null,
      opacity: 0,
      lastOpacity: ON,
      contour: false,
      threshold: 0.5,
      measures: [],
      given: null,
    }
    rememberedFilms.set(name, state)
    for (const old of rememberedFilms.keys()) if (rememberedFilms.size > FILMS_REMEMBERED) rememberedFilms.delete(old)
  }
  // The page's choice counts when it changes; between, the reader's.
  const has = (name) => film.findings.some((one) => one.name === name)
  if (finding !== state.given && has(finding)) state.finding = finding
  state.given = finding
  // What the model said may come later than the film, or be hidden again.
  if (!has(state.finding)) state.finding = film.findings[0]?.name ?? null
  if (!film.square) state.model = false
  return state
}

function habitsOf(key) {
  if (!rememberedHabits.has(key)) rememberedHabits.set(key, { tool: "window", boxes: true, compare: false, linked: true })
  return rememberedHabits.get(key)
}
