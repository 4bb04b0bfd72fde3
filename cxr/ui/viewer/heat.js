// Heatmaps: a small grid of support at the size of its film, as cxr/model/heatmap.py does it.

const HEAT_SIDE = 512
const AMBER = [255, 191, 0]
const RED = [255, 32, 0]

// A finding's grid as Float32Array (rows, columns) from base64, or null.
function gridOf(finding) {
  if (!finding?.grid) return null
  const bytes = Uint8Array.from(atob(finding.grid), (c) => c.charCodeAt(0))
  return new Float32Array(bytes.buffer)
}

// Bicubic filter between cell centres (Keys 1981, a = -0.5, which is Pillow's), at HEAT_SIDE places along one axis.
function cubicTaps(cells, shift) {
  const taps = []
  for (let k = 0; k < HEAT_SIDE; k++) {
    const place = ((k + 0.5) / HEAT_SIDE + shift) * cells - 0.5
    const below = Math.floor(place)
    const t = place - below
    const weights = [
      -0.5 * t ** 3 + t ** 2 - 0.5 * t,
      1.5 * t ** 3 - 2.5 * t ** 2 + 1,
      -1.5 * t ** 3 + 2 * t ** 2 + 0.5 * t,
      0.5 * t ** 3 - 0.5 * t ** 2,
    ]
    // Beyond the border the grid goes on as its last cell.
    taps.push(weights.map((weight, n) => [Math.min(Math.max(below - 1 + n, 0), cells - 1), weight]))
  }
  return taps
}

// Support over the whole film, Float32Array (HEAT_SIDE, HEAT_SIDE) in 0..1; smooth enough to be drawn bilinearly.
function heatField(finding, shift) {
  const grid = gridOf(finding)
  if (!grid) return null
  const { rows, columns } = finding
  const across = cubicTaps(columns, shift[1])
  const down = cubicTaps(rows, shift[0])
  const wide = new Float32Array(rows * HEAT_SIDE)
  for (let row = 0; row < rows; row++)
    for (let x = 0; x < HEAT_SIDE; x++) {
      let sum = 0
      for (const [cell, weight] of across[x]) sum += weight * grid[row * columns + cell]
      wide[row * HEAT_SIDE + x] = sum
    }
  const field = new Float32Array(HEAT_SIDE * HEAT_SIDE)
  for (let y = 0; y < HEAT_SIDE; y++) {
    const [[a, wa], [b, wb], [c, wc], [d, wd]] = down[y].map(([cell, weight]) => [cell * HEAT_SIDE, weight])
    for (let x = 0; x < HEAT_SIDE; x++) {
      const sum = wa * wide[a + x] + wb * wide[b + x] + wc * wide[c + x] + wd * wide[d + x]
      field[y * HEAT_SIDE + x] = sum < 0 ? 0 : sum > 1 ? 1 : sum
    }
  }
  return field
}

// Where the support crosses a threshold: line pieces [x0, y0, x1, y1, …] in shares of the film (marching squares).
function contourOf(field, threshold) {
  const pieces = []
  const step = 2
  const at = (x, y) => field[y * HEAT_SIDE + x]
  for (let y = 0; y + step < HEAT_SIDE; y += step)
    for (let x = 0; x + step < HEAT_SIDE; x += step) {
      const corners = [at(x, y), at(x + step, y), at(x + step, y + step), at(x, y + step)]
      const above = corners.map((value) => value >= threshold)
      if (above.every((one) => one === above[0])) continue
      const places = [[x, y], [x + step, y], [x + step, y + step], [x, y + step]]
      const crossings = []
      for (let k = 0; k < 4; k++) {
        const next = (k + 1) % 4
        if (above[k] === above[next]) continue
        const t = (threshold - corners[k]) / (corners[next] - corners[k])
        for (const axis of [0, 1])
          crossings.push((places[k][axis] + (places[next][axis] - places[k][axis]) * t + 0.5) / HEAT_SIDE)
      }
      for (let k = 0; k + 3 < crossings.length; k += 4) pieces.push(...crossings.slice(k, k + 4))
    }
  return pieces
}
