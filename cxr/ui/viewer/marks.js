// What lies over a film: boxes, the contour of a heatmap, measures, the magnifier's rim.

const BOX_COLOURS = ["#ffb000", "#4cc9f0", "#f72585", "#80ed99", "#b794f6", "#ff6b35", "#ffe66d", "#a0c4ff"]
const CONTOUR = "#ffd75e"
const MEASURE = "#7df9ff"

// Draws marks for a film at a place of the screen; `ratio` is device pixels per CSS pixel.
function drawMarks(context, { film, place, state, boxes, contour, lens, pending, ratio }) {
  const { width, height } = context.canvas
  context.clearRect(0, 0, width, height)
  context.save()
  if (lens) {
    // Under the magnifier marks would lie beside what they mark.
    context.beginPath()
    context.rect(0, 0, width, height)
    context.arc(lens.x, lens.y, lens.radius, 0, 2 * Math.PI)
    context.clip("evenodd")
  }
  const onScreen = (x, y) => toScreen(place, x * place.source.width, y * place.source.height)
  if (contour) drawContour(context, contour, onScreen, ratio)
  if (boxes) film.boxes.forEach((box, n) => drawBox(context, film, box, BOX_COLOURS[n % BOX_COLOURS.length], onScreen, ratio))
  for (const measure of pending ? [...state.measures, pending] : state.measures)
    drawMeasure(context, film, measure, onScreen, ratio)
  context.restore()
  if (lens) {
    context.beginPath()
    context.arc(lens.x, lens.y, lens.radius, 0, 2 * Math.PI)
    context.lineWidth = 2 * ratio
    context.strokeStyle = "#ffffffb0"
    context.stroke()
  }
}

function drawContour(context, pieces, onScreen, ratio) {
  context.beginPath()
  for (let k = 0; k < pieces.length; k += 4) {
    context.moveTo(...onScreen(pieces[k], pieces[k + 1]))
    context.lineTo(...onScreen(pieces[k + 2], pieces[k + 3]))
  }
  outlined(context, CONTOUR, 1.5 * ratio)
}

function drawBox(context, film, box, colour, onScreen, ratio) {
  const { width, height } = film.pixels
  const one = onScreen(box.x / width, box.y / height)
  const other = onScreen((box.x + box.w) / width, (box.y + box.h) / height)
  const left = Math.min(one[0], other[0])
  const top = Math.min(one[1], other[1])
  const wide = Math.abs(one[0] - other[0])
  context.beginPath()
  context.rect(left, top, wide, Math.abs(one[1] - other[1]))
  outlined(context, colour, 2 * ratio)
  const inside = top < 24 * ratio
  label(context, box.label, left, inside ? top + 4 * ratio : top - 22 * ratio, colour, ratio)
}

function drawMeasure(context, film, measure, onScreen, ratio) {
  const [from, to] = [onScreen(...measure.from), onScreen(...measure.to)]
  context.beginPath()
  context.moveTo(...from)
  context.lineTo(...to)
  for (const [x, y] of [from, to]) {
    context.moveTo(x + 4 * ratio, y)
    context.arc(x, y, 4 * ratio, 0, 2 * Math.PI)
  }
  outlined(context, MEASURE, 1.5 * ratio)
  const [x, y] = from[0] > to[0] ? from : to
  label(context, lengthWords(film, measure), x + 8 * ratio, y - 10 * ratio, MEASURE, ratio)
}

// Length in mm where the file gives the spacing, else in pixels.
function lengthWords(film, measure) {
  const dx = (measure.to[0] - measure.from[0]) * film.pixels.width
  const dy = (measure.to[1] - measure.from[1]) * film.pixels.height
  if (!film.spacing) return `${Math.hypot(dx, dy).toFixed(0)} px`
  const [row, column] = film.spacing
  const length = Math.hypot(dx * column, dy * row).toFixed(1)
  return film.spacingAt === "detector" ? `${length} mm at the detector` : `${length} mm`
}

// What a length means, or why there is none in mm.
function spacingWords(film) {
  if (!film.spacing) return "No lengths in mm: the file gives no pixel spacing."
  if (film.spacingAt === "detector") return "Lengths are at the detector; in the patient they are shorter, by the magnification."
  if (film.spacingAt === "patient") return "Lengths are calibrated by the file for the patient."
  return "Lengths by the file's pixel spacing; it does not say whether magnification was corrected."
}

function outlined(context, colour, width) {
  context.lineCap = "round"
  context.lineWidth = width + 2
  context.strokeStyle = "#000000a0"
  context.stroke()
  context.lineWidth = width
  context.strokeStyle = colour
  context.stroke()
}

function label(context, text, x, y, colour, ratio) {
  context.font = `${13 * ratio}px system-ui, sans-serif`
  context.textBaseline = "top"
  const wide = context.measureText(text).width + 8 * ratio
  const at = Math.max(0, Math.min(x, context.canvas.width - wide))
  const top = Math.max(0, y)
  context.fillStyle = "#000000c0"
  context.fillRect(at, top, wide, 18 * ratio)
  context.fillStyle = colour
  context.fillText(text, at + 4 * ratio, top + 2 * ratio)
}
