// Where a film lies on the screen. Lengths on the screen are device pixels; a view is told in shares of the film, so
// that two films can have the same: {zoom: 1 is fit, x, y: the place in the middle, turn: quarter turns clockwise}.

const ZOOMS = [0.05, 64]

function newView() {
  return { zoom: 1, x: 0.5, y: 0.5, turn: 0 }
}

function fitScale(view, source, width, height) {
  const [wide, high] = view.turn % 2 ? [source.height, source.width] : [source.width, source.height]
  return Math.min(width / wide, height / high)
}

// The affine map screen -> film pixels: film = (ox + ax * x + bx * y, oy + ay * x + by * y), and back.
function placement(view, source, width, height) {
  let scale = fitScale(view, source, width, height) * view.zoom
  if (Math.abs(scale - Math.round(scale)) < 1e-6 && scale > 0.5) scale = Math.round(scale)
  const [cos, sin] = [[1, 0], [0, 1], [-1, 0], [0, -1]][view.turn]
  const ax = cos / scale
  const bx = sin / scale
  const ay = -sin / scale
  const by = cos / scale
  let ox = view.x * source.width - (ax * width + bx * height) / 2
  let oy = view.y * source.height - (ay * width + by * height) / 2
  if (Number.isInteger(scale)) {
    // Pixel on pixel: nothing is interpolated that need not be.
    ox = Math.round(ox * scale) / scale
    oy = Math.round(oy * scale) / scale
  }
  return { scale, ox, oy, ax, ay, bx, by, source }
}

function toFilm(place, x, y) {
  return [place.ox + place.ax * x + place.bx * y, place.oy + place.ay * x + place.by * y]
}

function toScreen(place, x, y) {
  const [dx, dy] = [x - place.ox, y - place.oy]
  const square = place.scale * place.scale
  return [(place.ax * dx + place.ay * dy) * square, (place.bx * dx + place.by * dy) * square]
}

// Zoom so that what lies under a point of the screen stays there.
function zoomAbout(view, source, width, height, factor, x, y) {
  const before = toFilm(placement(view, source, width, height), x, y)
  view.zoom = Math.min(Math.max(view.zoom * factor, ZOOMS[0]), ZOOMS[1])
  const after = toFilm(placement(view, source, width, height), x, y)
  view.x += (before[0] - after[0]) / source.width
  view.y += (before[1] - after[1]) / source.height
  keepInside(view)
}

function panBy(view, source, width, height, dx, dy) {
  const place = placement(view, source, width, height)
  view.x -= (place.ax * dx + place.bx * dy) / source.width
  view.y -= (place.ay * dx + place.by * dy) / source.height
  keepInside(view)
}

// The film can't be lost: its middle never leaves the film.
function keepInside(view) {
  view.x = Math.min(Math.max(view.x, 0), 1)
  view.y = Math.min(Math.max(view.y, 0), 1)
}

// One film pixel on one pixel of the screen.
function actualSize(view, source, width, height) {
  view.zoom = Math.min(Math.max(1 / fitScale(view, source, width, height), ZOOMS[0]), ZOOMS[1])
}

// Which picture of the pyramid is drawn: about one of its pixels on a pixel of the screen.
function stepOfPyramid(scale, pyramid) {
  const step = Math.floor(Math.log2(1 / scale) + 0.35)
  return Math.min(Math.max(step, 0), pyramid.length - 1)
}
