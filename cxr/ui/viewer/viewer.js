// The viewer itself: one or two panes, their bars, and the component that Streamlit calls.

class Viewer {
  constructor(root, host) {
    this.root = root
    this.host = host
    this.data = { key: "", keys: {}, sends: false, previous: null }
    this.controls = Object.fromEntries(
      ["finding", "opacity", "opacityWords", "contour", "threshold", "note", "live", "help"].map((name) => [
        name, root.querySelector(`[data-part="${name}"]`),
      ]),
    )
    this.panes = [...root.querySelectorAll(".pane")].map((element) => new Pane(this, element))
    this.pane = this.panes[0]
    for (const pane of this.panes) followPointers(this, pane)
    buildControls(this)
    this.controls.help.querySelector("button").onclick = () => this.controls.help.close()
    this.controls.help.onclick = (event) => event.target === this.controls.help && this.controls.help.close()
    root.addEventListener("pointerdown", () => this.use(), true)
    root.addEventListener("focusin", () => this.use())
    root.addEventListener("fullscreenchange", () => this.refresh())
    this.use()
  }

  // Keys go to the viewer that was used last.
  use() {
    listening.delete(this)
    listening.add(this)
  }

  update(data, send) {
    this.data = data
    this.send = send
    this.habits = habitsOf(data.key)
    this.root.style.setProperty("--height", data.height)
    this.showFilms()
  }

  get comparing() {
    return this.data.previous !== null && this.habits.compare
  }

  showFilms() {
    const [first, second] = this.panes
    first.show(this.data.film, this.data.finding)
    second.element.hidden = !this.comparing
    if (this.comparing) second.show(this.data.previous, this.data.finding)
    else this.pane = first
    this.refresh()
  }

  choosePane(pane) {
    if (this.pane === pane) return
    this.pane = pane
    this.refresh()
  }

  run(name) {
    const action = ACTIONS[name]
    const { pane } = this
    const always = ["help", "full", "model", "compare"].includes(name)
    if ((!pane.decoded && !always) || !(action.enabled?.(this, pane) ?? true)) return
    action.run(this, pane)
    const said = action.said?.(this, this.pane)
    if (said) this.say(said)
    this.refresh()
  }

  change(how, words) {
    how(this.pane)
    this.say(words(this, this.pane))
    this.refresh()
  }

  // Only the pictures: while something is dragged the bars stay as they are.
  repaint() {
    for (const pane of this.panes) pane.invalidate()
  }

  refresh() {
    refreshControls(this)
    this.repaint()
  }

  // For screen readers; of a quick succession only the last is said.
  say(text) {
    clearTimeout(this.saying)
    this.saying = setTimeout(() => (this.controls.live.textContent = text), 250)
  }

  toggleHelp() {
    const { help } = this.controls
    if (help.open) return help.close()
    fillHelp(help.querySelector("div"), this)
    help.showModal()
  }

  free() {
    listening.delete(this)
    clearTimeout(this.saying)
    for (const pane of this.panes) pane.free()
  }
}

const viewers = new WeakMap() // place in the page -> its viewer

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".viewer")
  let viewer = viewers.get(root)
  if (!viewer) {
    viewer = new Viewer(root, parentElement.host ?? parentElement)
    viewers.set(root, viewer)
  }
  viewer.update(data, (action) => setTriggerValue("action", action))
  return () => {
    viewer.free()
    viewers.delete(root)
  }
}
