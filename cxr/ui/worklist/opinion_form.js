// What a reader says of a study. Every change is sent at once and whole, so that a later message makes up for a lost one.
const ANSWERS = [["yes", "Yes"], ["unsure", "Unsure"], ["no", "No"]]
const MARKS = [["present", "Present"], ["unsure", "Unsure"], ["absent", "Absent"]]
const PAUSE = 500
const states = new WeakMap()

const made = (tag, kind, text) => {
  const element = document.createElement(tag)
  if (kind) element.className = kind
  if (text !== undefined) element.textContent = text
  return element
}

// Some buttons of which at most one is on; a click on the one that is on takes it back.
function choice(label, options, chosen, disabled, choose) {
  const group = made("span", "choice")
  group.setAttribute("role", "radiogroup")
  group.setAttribute("aria-label", label)
  for (const [value, text] of options) {
    const button = made("button", value, text)
    button.type = "button"
    button.disabled = disabled
    button.setAttribute("role", "radio")
    button.setAttribute("aria-checked", String(value === chosen))
    button.onclick = () => choose(value === chosen ? null : value)
    group.append(button)
  }
  return group
}

const differs = (row, mark) =>
  row.flagged !== null && ((row.flagged && mark === "absent") || (!row.flagged && mark === "present"))

function findingRow(row, state) {
  const mark = state.view.findings[row.name] ?? null
  const line = made("div", `finding${row.flagged ? " flagged" : ""}`)
  const name = made("button", "name", row.label)
  name.type = "button"
  if (row.map) {
    name.title = `Show where the model finds support for ${row.label.toLowerCase()}`
    name.setAttribute("aria-pressed", String(row.name === state.data.finding))
    name.onclick = () => state.send(`map ${row.name}`)
  } else name.disabled = true
  line.append(name)
  if (modelSaid(state.data)) {
    const model = made("span", "model")
    if (row.probability === null) model.append(made("span", "small", "not in this model"))
    else {
      const bar = made("span", "bar")
      const filled = made("span", "filled")
      filled.style.width = `${100 * row.probability}%`
      bar.append(filled)
      model.append(made("span", "number", row.probability.toFixed(3)), bar)
      model.append(made("span", "flag", row.flagged ? "flagged" : ""))
    }
    line.append(model)
  }
  line.append(
    choice(row.label, MARKS, mark, state.data.disabled, (value) => {
      if (value === null) delete state.view.findings[row.name]
      else state.view.findings[row.name] = value
      state.changed()
    }),
  )
  const sign = made("span", "differs", differs(row, mark) ? "≠" : "")
  if (differs(row, mark)) sign.title = "Not what the model says"
  line.append(sign)
  return line
}

function drawTop(state) {
  const { data, view } = state
  const top = made("div", "top")
  top.append(made("span", "question", "Abnormal"))
  top.append(
    choice("Abnormal", ANSWERS, view.abnormal, data.disabled || !view.valid, (value) => {
      view.abnormal = value
      state.changed()
    }),
  )
  const label = made("label", "invalid")
  const box = made("input")
  box.type = "checkbox"
  box.checked = !view.valid
  box.disabled = data.disabled
  box.onchange = () => {
    view.valid = !box.checked
    state.changed()
  }
  label.append(box, "Not a valid film")
  top.append(label)
  return top
}

// Whether the model said anything of the study that the reader may see: of one that was not analysed it did not.
function modelSaid(data) {
  return data.informed && data.rows.some((row) => row.probability !== null)
}

function drawHead(state) {
  const head = made("div", "head")
  head.append(made("span", "", "Finding"))
  if (modelSaid(state.data)) head.append(made("span", "model", state.data.likelihood))
  const rest = made("button", "rest", "Others absent")
  rest.type = "button"
  rest.title = "Mark every finding without a mark as absent"
  rest.disabled = state.data.disabled
  rest.onclick = () => {
    for (const row of state.data.rows) state.view.findings[row.name] ??= "absent"
    state.changed()
  }
  head.append(rest)
  return head
}

function draw(state) {
  const { data, view, body, root } = state
  // The focus goes with the button that has it, which is made anew.
  const buttons = () => [...body.querySelectorAll("button, input")]
  const focused = buttons().indexOf(root.activeElement)
  body.classList.toggle("informed", data.informed)
  const rows = data.rows.map((row) => findingRow(row, state))
  body.replaceChildren(drawTop(state), drawHead(state), ...rows)
  body.classList.toggle("refused", !view.valid)
  if (focused >= 0) buttons()[focused]?.focus()
  state.text.disabled = data.disabled
  root.querySelector(".saved").textContent = state.waiting ? "Saving" : data.saved
  root.querySelector(".saved").classList.toggle("failed", data.failed)
  root.querySelector(".show").hidden = data.informed
  const given = !view.valid || view.abnormal !== null
  for (const name of [".show", ".done"]) {
    root.querySelector(name).disabled = data.disabled || !given
    root.querySelector(name).title = given ? "" : "Say first whether it is abnormal, or that it is not a valid film"
  }
  root.querySelector(".done").classList.toggle("primary", data.informed)
}

function onKey(event, state) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.defaultPrevented) return
  const [origin] = event.composedPath()
  const field = origin instanceof HTMLElement && (origin.isContentEditable || /^(TEXTAREA|SELECT|INPUT)$/.test(origin.tagName))
  if (field && origin.type !== "checkbox" && origin.type !== "range") {
    if (event.key === "Escape") origin.blur()
    return
  }
  // What is open over the page takes the keys, Escape above all.
  if (event.composedPath().some((one) => one instanceof HTMLDialogElement && one.open)) return
  if (document.querySelector("[data-testid=stDialog], [role=dialog], [data-testid=stPopoverBody]")) return
  const answers = { y: "yes", j: "unsure", k: "no" }
  const actions = { n: "done", d: "show", u: "back", Escape: "back" }
  const act = actions[event.key]
  const answer = answers[event.key]
  if (!act && !answer) return
  event.preventDefault()
  if (answer) {
    if (state.data.disabled || !state.view.valid) return
    state.view.abnormal = answer
    state.changed()
  } else if (act === "back") state.send("back")
  else if (act === "show") press(state, ".show")
  else press(state, ".done")
}

const press = (state, name) => {
  const button = state.root.querySelector(name)
  if (!button.hidden) button.click()
}

function begin(parentElement) {
  const state = {
    root: parentElement,
    body: parentElement.querySelector(".body"),
    text: parentElement.querySelector("textarea"),
    id: null,
    waiting: false,
  }
  state.send = (act) => {
    clearTimeout(state.timer)
    state.waiting = false
    state.sent({ id: state.id, view: state.view, act })
  }
  state.changed = () => {
    state.waiting = true
    draw(state)
    state.send(null)
  }
  state.text.oninput = () => {
    state.view.text = state.text.value
    state.waiting = true
    parentElement.querySelector(".saved").textContent = "Saving"
    clearTimeout(state.timer)
    state.timer = setTimeout(() => state.send(null), PAUSE)
  }
  state.text.onblur = () => state.waiting && state.send(null)
  state.key = (event) => onKey(event, state)
  document.addEventListener("keydown", state.key)
  // A letter that is typed is no command, whoever else listens.
  state.text.onkeydown = (event) => event.key !== "Escape" && event.stopPropagation()
  parentElement.querySelector(".show").onclick = () => state.send("show")
  parentElement.querySelector(".done").onclick = () => state.send("done")
  states.set(parentElement, state)
  return state
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const state = states.get(parentElement) ?? begin(parentElement)
  state.sent = (message) => setTriggerValue("sent", message)
  if (state.id !== data.id) {
    // Another study, reader or stage. Else what stands here is newer than what came back.
    clearTimeout(state.timer)
    state.waiting = false
    state.id = data.id
    state.view = structuredClone(data.view)
    state.text.value = state.view.text
  }
  state.data = data
  draw(state)
  return () => {
    if (state.waiting) state.send(null)
    document.removeEventListener("keydown", state.key)
    states.delete(parentElement)
  }
}
