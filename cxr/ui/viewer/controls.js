// The bars above and below the film.

const TOOLBAR = [
  TOOLS, ["forget"], ["invert", "presets"], ["fit", "actual", "turnLeft", "turnRight"],
  ["boxes", "model", "compare", "link"], ["reset", "full", "help"],
]
const WINDOW_CHANGED = "Window…"

function buildControls(viewer) {
  const bar = viewer.root.querySelector(".tools")
  bar.replaceChildren(...TOOLBAR.map((names) => {
    const group = document.createElement("span")
    group.className = "group"
    group.append(...names.map((name) => (name === "presets" ? presetList(viewer) : toolButton(viewer, name))))
    return group
  }))
  const { finding, opacity, contour, threshold } = viewer.controls
  finding.onpointerdown = () => (viewer.byPointer = true)
  finding.onkeydown = () => (viewer.byPointer = false)
  finding.onchange = () => {
    viewer.change((pane) => (pane.state.finding = finding.value), heatWords)
    // Keys are the film's again; whoever walks the list by arrows stays in it.
    if (viewer.byPointer) viewer.pane.element.focus({ preventScroll: true })
  }
  opacity.oninput = () => viewer.change((pane) => (pane.state.opacity = opacity.value / 100), heatWords)
  contour.onchange = () => viewer.run("contour")
  threshold.oninput = () =>
    viewer.change((pane) => (pane.state.threshold = threshold.value / 100), (v, pane) => `Contour at ${pane.state.threshold.toFixed(2)}`)
}

function toolButton(viewer, name) {
  const action = ACTIONS[name]
  const button = document.createElement("button")
  button.type = "button"
  button.dataset.action = name
  button.title = `${action.label} (${keyWords(action.keys[0])})`
  button.setAttribute("aria-label", action.label)
  button.setAttribute("aria-keyshortcuts", action.keys[0])
  button.append(icon(name))
  button.onclick = () => viewer.run(name)
  return button
}

function presetList(viewer) {
  const list = document.createElement("select")
  list.className = "presets"
  list.setAttribute("aria-label", "Window")
  list.title = "Windows (1 to 5)"
  list.append(option("", WINDOW_CHANGED), ...PRESETS.map(([label], n) => option(String(n + 1), label)))
  list.onchange = () => {
    if (list.value) viewer.run(`preset${list.value}`)
    viewer.pane.element.focus({ preventScroll: true })
  }
  return list
}

function option(value, text) {
  const made = document.createElement("option")
  made.value = value
  made.textContent = text
  return made
}

// Bring bars, labels and lists into line with what is shown.
function refreshControls(viewer) {
  const { pane, controls } = viewer
  if (!pane.film) return
  for (const button of viewer.root.querySelectorAll("[data-action]")) {
    const action = ACTIONS[button.dataset.action]
    const enabled = pane.decoded !== null || ["help", "full", "model", "compare"].includes(button.dataset.action)
    button.disabled = !enabled || !(action.enabled?.(viewer, pane) ?? true)
    if (action.pressed) button.setAttribute("aria-pressed", String(Boolean(action.pressed(viewer, pane))))
  }
  // What a film does not have takes no room.
  hide(viewer, "boxes", !viewer.panes.some((one) => one.film?.boxes.length))
  hide(viewer, "model", !pane.film.square)
  hide(viewer, "compare", !viewer.data.previous)
  hide(viewer, "link", !viewer.comparing)
  const chosen = PRESETS.findIndex((_, n) => sameWindow(pane, presetWindow(pane, n)))
  viewer.root.querySelector(".presets").value = chosen < 0 ? "" : String(chosen + 1)

  const { findings } = pane.film
  viewer.root.querySelector(".heat").hidden = findings.length === 0
  const listed = findings.map((one) => one.name + one.caption).join("\n")
  if (controls.finding.dataset.listed !== listed) {
    controls.finding.dataset.listed = listed
    controls.finding.replaceChildren(...findings.map((one) => option(one.name, one.caption)))
  }
  const { finding, state } = pane
  controls.finding.value = state.finding ?? ""
  const nothing = !finding?.grid
  controls.opacity.value = Math.round(state.opacity * 100)
  controls.opacityWords.textContent = `${Math.round(state.opacity * 100)}%`
  controls.threshold.value = Math.round(state.threshold * 100)
  controls.contour.checked = state.contour
  for (const control of [controls.opacity, controls.contour]) control.disabled = nothing
  controls.threshold.disabled = nothing || !state.contour
  const wanted = nothing || state.opacity > 0 || state.contour
  const measuring = viewer.habits.tool === "measure" || state.measures.length > 0
  const notes = [finding && wanted ? finding.note : "", measuring ? spacingWords(pane.film) : ""]
  controls.note.replaceChildren(...emphasised(notes.filter(Boolean).join(" ")))
  const cursor = { window: "default", move: "grab", zoom: "ns-resize", magnify: "none", measure: "crosshair" }
  for (const one of viewer.panes) {
    one.element.style.cursor = cursor[viewer.habits.tool]
    one.element.classList.toggle("current", viewer.comparing && one === pane)
    if (one.film) one.element.setAttribute("aria-label", filmWords(viewer, one))
  }
}

// Text with **emphasis**, as Streamlit's captions have it.
function emphasised(text) {
  return text.split("**").map((part, n) => {
    if (n % 2 === 0) return part
    const strong = document.createElement("strong")
    strong.textContent = part
    return strong
  })
}

function filmWords(viewer, { film }) {
  const labels = viewer.habits.boxes ? film.boxes.map((box) => box.label).join(", ") : ""
  return `Film ${film.title}${labels ? ` with boxes of ${labels}` : ""}. Press ? for the keys.`
}

function hide(viewer, name, hidden) {
  viewer.root.querySelector(`[data-action="${name}"]`).hidden = hidden
}

function presetWindow(pane, n) {
  const [low, high] = homeWindow(pane)
  return PRESETS[n][1]({ ...pane.scale, low, high })
}

function sameWindow(pane, [low, high]) {
  const near = 1e-6 * Math.max(1, Math.abs(high - low))
  return Math.abs(pane.look.low - low) < near && Math.abs(pane.look.high - high) < near
}
