// Keys. Letters work wherever the focus is, except where one can write; arrows and Page keys only on the film, because
// elsewhere they scroll the page.

const listening = new Set() // viewers on the page, the one that was used last at the end

const BY_KEY = new Map(Object.entries(ACTIONS).flatMap(([name, action]) => action.keys.map((key) => [key, name])))
const WRITABLE = new Set(["text", "search", "email", "url", "tel", "password", "number", "date", "time", "datetime-local", "month", "week"])
const NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", PageUp: "Page up", PageDown: "Page down" }

document.addEventListener("keydown", (event) => {
  const viewer = [...listening].pop()
  if (viewer && !event.defaultPrevented) takeKey(viewer, event)
}, true)

function takeKey(viewer, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return
  const target = event.composedPath()[0]
  if (isWritable(target) || anotherDialog(viewer)) return
  const onFilm = viewer.panes.some((pane) => pane.element === target)
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
  const travels = key.startsWith("Arrow") || key.startsWith("Page") || key === "Delete"
  if (travels && !onFilm) return
  const action = viewer.data.sends ? (viewer.data.keys[event.key] ?? viewer.data.keys[key]) : undefined
  const name = BY_KEY.get(travels && event.shiftKey ? `Shift+${key}` : key)
  if (!action && !name) return
  // Enter and Space press the button that has the focus.
  if (action && (key === "Enter" || key === " ") && !onFilm && target !== document.body) return
  event.preventDefault()
  event.stopImmediatePropagation()
  if (!action) viewer.run(name)
  else if (!event.repeat) viewer.send(action)
}

function isWritable(target) {
  if (!(target instanceof Element)) return false
  if (target.isContentEditable || target.tagName === "TEXTAREA" || target.tagName === "SELECT") return true
  if (target.tagName === "INPUT") return WRITABLE.has(target.type)
  return ["textbox", "combobox", "searchbox", "listbox", "option", "menuitem"].includes(target.getAttribute("role"))
}

// While a dialog of the page is open, keys are its.
function anotherDialog(viewer) {
  return [...document.querySelectorAll('[role="dialog"][aria-modal="true"], dialog[open]')].some((one) => !one.contains(viewer.host))
}

function keyWords(key) {
  return key.split("+").length > 1 && key !== "+"
    ? key.split("+").map(keyWords).join(" + ")
    : (NAMES[key] ?? (/^[a-z]$/.test(key) ? key.toUpperCase() : key))
}

// The list of keys, by group, as rows of a table; the page's own first.
function fillHelp(body, viewer) {
  const groups = new Map()
  for (const [key, action] of Object.entries(viewer.data.keys)) put(groups, "This page", [key], action)
  for (const action of Object.values(ACTIONS)) put(groups, action.group, action.keys, action.label)
  body.replaceChildren(...[...groups].map(([group, rows]) => {
    const section = document.createElement("section")
    const head = document.createElement("h3")
    head.textContent = group
    const list = document.createElement("dl")
    for (const [keys, label] of rows) {
      const name = document.createElement("dt")
      keys.forEach((key, n) => {
        const cap = document.createElement("kbd")
        cap.textContent = keyWords(key)
        name.append(n ? " " : "", cap)
      })
      const words = document.createElement("dd")
      words.textContent = label
      list.append(name, words)
    }
    section.append(head, list)
    return section
  }))
}

function put(groups, group, keys, label) {
  if (!groups.has(group)) groups.set(group, [])
  groups.get(group).push([keys, label.charAt(0).toUpperCase() + label.slice(1)])
}
