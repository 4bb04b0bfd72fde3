// Mouse, pen and fingers on a film. The left button (or one finger) does what the chosen tool does, the middle button
// moves, the right button zooms, the wheel zooms about the pointer, two fingers move and zoom.

const ZOOM_PER_PIXEL = 0.005
const BUTTON_TOOLS = { 1: "move", 2: "zoom" }

function followPointers(viewer, pane) {
  const { element } = pane
  const down = new Map() // pointer id -> its last place, device pixels
  let tool = null
  let start = null // where the drag began

  const placeOf = (event) => {
    const box = element.getBoundingClientRect()
    return { x: (event.clientX - box.left) * pane.ratio, y: (event.clientY - box.top) * pane.ratio }
  }

  element.onpointerdown = (event) => {
    if (!pane.decoded || event.target.closest("button")) return
    element.focus({ preventScroll: true })
    element.setPointerCapture(event.pointerId)
    const at = placeOf(event)
    down.set(event.pointerId, at)
    start = at
    viewer.choosePane(pane)
    if (down.size > 1) {
      tool = "pinch"
      pane.pending = null
      return
    }
    tool = event.shiftKey && event.button === 0 ? "move" : (BUTTON_TOOLS[event.button] ?? viewer.habits.tool)
    if (tool === "measure") pane.pending = { from: sharesAt(pane, at), to: sharesAt(pane, at) }
    if (tool === "magnify") lensAt(pane, at)
    event.preventDefault()
  }

  element.onpointermove = (event) => {
    if (!pane.decoded) return
    const at = placeOf(event)
    pane.pointAt(at.x, at.y)
    const last = down.get(event.pointerId)
    if (!last) {
      if (viewer.habits.tool === "magnify" && event.pointerType !== "touch") lensAt(pane, at)
      return
    }
    if (tool === "pinch") pinch(viewer, pane, down, event.pointerId, at)
    else drag(viewer, pane, tool, last, at, start)
    down.set(event.pointerId, at)
  }

  const finish = (event) => {
    if (!down.delete(event.pointerId)) return
    if (tool === "measure" && pane.pending) keepMeasure(viewer, pane)
    if (tool === "window") viewer.say(windowWords(pane.scale, pane.look.low, pane.look.high))
    if (tool === "magnify" && event.pointerType === "touch") pane.lens = null
    // The finger that stays after a pinch does nothing until it is lifted.
    tool = down.size ? "none" : null
    viewer.refresh()
  }
  element.onpointerup = finish
  element.onpointercancel = finish
  element.onpointerleave = () => {
    pane.corners.pixel.textContent = ""
    if (!down.size && pane.lens) {
      pane.lens = null
      pane.invalidate()
    }
  }
  element.oncontextmenu = (event) => event.preventDefault()
  element.ondblclick = (event) => event.target.closest("button") || viewer.run("fit")
  element.onfocus = () => viewer.choosePane(pane)
  element.addEventListener("wheel", (event) => wheel(viewer, pane, event, placeOf(event)), { passive: false })
}

function wheel(viewer, pane, event, at) {
  if (!pane.decoded) return
  event.preventDefault()
  viewer.choosePane(pane)
  const lines = event.deltaMode === 1 ? 33 : 1
  const factor = Math.exp(-Math.min(Math.max(event.deltaY * lines, -200), 200) * 0.002)
  zoomAbout(pane.view, pane.decoded, pane.canvas.width, pane.canvas.height, factor, at.x, at.y)
  viewer.repaint()
}

function drag(viewer, pane, tool, last, at, start) {
  const [dx, dy] = [at.x - last.x, at.y - last.y]
  const { width, height } = pane.canvas
  if (tool === "window") {
    const { look, scale, ratio } = pane
    ;[look.low, look.high] = draggedWindow(scale, look.low, look.high, dx / ratio, dy / ratio)
  } else if (tool === "move") panBy(pane.view, pane.decoded, width, height, dx, dy)
  else if (tool === "zoom") {
    const factor = Math.exp((-dy / pane.ratio) * ZOOM_PER_PIXEL)
    zoomAbout(pane.view, pane.decoded, width, height, factor, start.x, start.y)
  } else if (tool === "measure" && pane.pending) pane.pending.to = sharesAt(pane, at)
  else if (tool === "magnify") lensAt(pane, at)
  viewer.repaint()
}

// Two fingers: what lay between them stays between them.
function pinch(viewer, pane, down, moved, at) {
  const [first, second] = [...down.keys()]
  const other = down.get(moved === first ? second : first)
  const before = down.get(moved)
  const { width, height } = pane.canvas
  const middle = { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 }
  panBy(pane.view, pane.decoded, width, height, (at.x - before.x) / 2, (at.y - before.y) / 2)
  const apart = Math.hypot(before.x - other.x, before.y - other.y)
  const now = Math.hypot(at.x - other.x, at.y - other.y)
  if (apart > 1) zoomAbout(pane.view, pane.decoded, width, height, now / apart, middle.x, middle.y)
  viewer.repaint()
}

function lensAt(pane, at) {
  pane.lens = { x: at.x, y: at.y, radius: LENS.radius * pane.ratio, power: LENS.power }
  pane.invalidate()
}

function sharesAt(pane, at) {
  const [x, y] = toFilm(pane.place, at.x, at.y)
  return [x / pane.decoded.width, y / pane.decoded.height]
}

function keepMeasure(viewer, pane) {
  const { pending } = pane
  pane.pending = null
  const [one, other] = [pending.from, pending.to].map(([x, y]) =>
    toScreen(pane.place, x * pane.decoded.width, y * pane.decoded.height))
  // A click is no length.
  if (Math.hypot(one[0] - other[0], one[1] - other[1]) < 3 * pane.ratio) return
  pane.state.measures.push(pending)
  viewer.say(`${lengthWords(pane.film, pending)}. ${spacingWords(pane.film)}`)
}
