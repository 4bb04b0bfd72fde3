// The list of studies. A row is opened by a click or by Enter; the keys work wherever the focus is, unless somebody types.
const states = new WeakMap()

const made = (tag, kind, text) => {
  const element = document.createElement(tag)
  if (kind) element.className = kind
  if (text !== undefined) element.textContent = text
  return element
}

export const waited = (minutes) => {
  const hours = Math.floor(minutes / 60)
  if (minutes < 1) return "just now"
  if (hours < 1) return `${minutes} min`
  if (hours < 48) return `${hours} h ${minutes % 60} min`
  return `${Math.floor(hours / 24)} d ${hours % 24} h`
}

function cells(row) {
  const picture = made("span", "picture")
  if (row.picture) {
    const image = made("img")
    image.src = row.picture
    image.alt = ""
    picture.append(image)
  }
  const who = made("span", "who")
  who.append(made("span", "name", row.name), made("span", "small", row.identity))

  const verdict = made("span", "verdict")
  const line = made("span", "line")
  line.append(made("span", `badge ${row.tone}`, row.verdict))
  if (row.probability !== null) {
    line.append(made("span", "number", row.probability.toFixed(3)))
    const bar = made("span", `bar ${row.tone}`)
    const filled = made("span", "filled")
    filled.style.width = `${100 * row.probability}%`
    bar.append(filled)
    verdict.append(line, bar)
  } else verdict.append(line)

  const findings = made("span", "findings")
  const chips = [["chip critical", "Critical: ", row.critical], ["chip", "", row.findings]]
  for (const [kind, before, named] of chips) {
    for (const [name, value] of named) {
      const chip = made("span", kind, `${before}${before ? name.toLowerCase() : name} `)
      chip.append(made("span", "number", value.toFixed(2)))
      findings.append(chip)
    }
  }
  if (row.more) findings.append(made("span", "small", `and ${row.more} more`))
  if (row.note) findings.append(made("span", "note", row.note))

  const age = made("span", "age")
  const state = made("span", "state")
  state.append(made("span", `status ${row.mine ? "mine" : ""}`, row.status), made("span", "small", row.reader))
  return [picture, who, verdict, findings, age, state]
}

function element(row, state) {
  const made_of = JSON.stringify(row)
  const known = state.rows.get(row.id)
  if (known && known.made_of === made_of) return known.item
  const item = made("li", `row${row.critical.length ? " urgent" : ""}`)
  item.id = `study-${row.id}`
  item.setAttribute("role", "option")
  item.setAttribute("aria-label", row.spoken)
  item.append(...cells(row))
  item.onclick = () => state.open(row.id)
  state.rows.set(row.id, { item, made_of })
  return item
}

function typing(event) {
  const [origin] = event.composedPath()
  if (!(origin instanceof HTMLElement)) return false
  return origin.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(origin.tagName)
}

function onKey(event, state) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
  const asked = document.querySelector("[data-testid=stDialog], [role=dialog]")
  if (typing(event) || asked || state.help.open) {
    if (state.help.open && event.key === "?") state.help.close()
    return
  }
  const [origin] = event.composedPath()
  const elsewhere = origin instanceof HTMLElement && origin.closest("button, a, [role=radio], [role=tab]")
  const actions = {
    j: () => state.mark(1),
    k: () => state.mark(-1),
    ArrowDown: () => state.mark(1),
    ArrowUp: () => state.mark(-1),
    Home: () => state.mark(-Infinity),
    End: () => state.mark(Infinity),
    Enter: () => state.marked !== null && state.open(state.marked),
    "/": () => {
      const search = document.querySelector(state.search)
      search?.focus()
      search?.select()
    },
    "?": () => state.help.showModal(),
  }
  // A button that has the focus keeps its own keys.
  if (!(event.key in actions) || (elsewhere && /^(Enter|Arrow|Home|End)/.test(event.key))) return
  event.preventDefault()
  actions[event.key]()
}

function begin(parentElement) {
  const state = {
    rows: new Map(),
    order: [],
    marked: null,
    list: parentElement.querySelector("ul"),
    help: parentElement.querySelector("dialog"),
  }
  state.show = () => {
    for (const id of state.order) {
      const { item } = state.rows.get(id)
      item.setAttribute("aria-selected", String(id === state.marked))
      if (id === state.marked) state.list.setAttribute("aria-activedescendant", item.id)
    }
  }
  state.mark = (step) => {
    if (!state.order.length) return
    const here = state.order.indexOf(state.marked)
    const next = here < 0 ? 0 : Math.min(Math.max(here + step, 0), state.order.length - 1)
    state.marked = state.order[next]
    state.show()
    state.rows.get(state.marked).item.scrollIntoView({ block: "nearest" })
  }
  state.tick = () => {
    const passed = Math.floor((performance.now() - state.received) / 60_000)
    for (const row of state.data) {
      state.rows.get(row.id).item.querySelector(".age").textContent = waited(row.waited + passed)
    }
  }
  state.key = (event) => onKey(event, state)
  document.addEventListener("keydown", state.key)
  state.clock = setInterval(state.tick, 15_000)
  parentElement.querySelector(".close").onclick = () => state.help.close()
  states.set(parentElement, state)
  return state
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const state = states.get(parentElement) ?? begin(parentElement)
  state.search = data.search
  state.received = performance.now()
  state.data = data.rows
  state.open = (id) => {
    state.marked = id
    state.show()
    setTriggerValue("opened", id)
  }
  const items = data.rows.map((row) => element({ ...row, waited: undefined }, state))
  state.order = data.rows.map((row) => row.id)
  for (const id of state.rows.keys()) if (!state.order.includes(id)) state.rows.delete(id)
  if (!state.order.includes(state.marked)) state.marked = state.order.includes(data.current) ? data.current : null
  // The same elements in the same order stay where they are, so that nobody loses their place.
  const shown = [...state.list.children]
  if (shown.length !== items.length || items.some((item, k) => item !== shown[k])) state.list.replaceChildren(...items)
  parentElement.querySelector(".likelihood").textContent = data.likelihood
  parentElement.querySelector(".empty").textContent = data.rows.length ? "" : data.empty
  parentElement.querySelector(".frame").classList.toggle("bare", !data.rows.length)
  state.tick()
  state.show()
  return () => {
    document.removeEventListener("keydown", state.key)
    clearInterval(state.clock)
    states.delete(parentElement)
  }
}
