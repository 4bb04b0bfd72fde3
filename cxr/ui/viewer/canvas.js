// Draws a film without WebGL: the same picture as webgl.js, by plain arithmetic on a 2D canvas.

const BLACK = 0xff000000 | 0

function canvasPainter(canvas) {
  const context = canvas.getContext("2d", { alpha: false })
  if (!context) return null
  let source = null
  let table = null
  let heat = null
  let image = null

  function fill(place, opacity, padded, box, lens) {
    const number = stepOfPyramid(place.scale, source.pyramid)
    const step = source.pyramid[number]
    const shrink = 1 / 2 ** number
    // A film lies upright or on its side: columns of the screen tell one coordinate of the film, rows the other.
    const [ofColumns, ofRows] = place.ax === 0 ? ["y", "x"] : ["x", "y"]
    const across = axis(ofColumns, place, step, shrink, box.x0, box.x1, lens)
    const down = axis(ofRows, place, step, shrink, box.y0, box.y1, lens)
    for (let y = box.y0; y < box.y1; y++) {
      let [from, to] = [0, box.x1 - box.x0]
      if (lens) {
        const half = Math.sqrt(Math.max(0, lens.radius ** 2 - (y + 0.5 - lens.y) ** 2))
        from = Math.max(0, Math.ceil(lens.x - half - 0.5) - box.x0)
        to = Math.min(to, Math.ceil(lens.x + half - 0.5) - box.x0)
      }
      const start = y * canvas.width + box.x0
      const row = y - box.y0
      const first = Math.max(from, down.inside[row] ? across.first : to)
      const last = Math.max(first, Math.min(to, across.last))
      image.pixels.fill(BLACK, start + from, start + Math.min(first, to))
      image.pixels.fill(BLACK, start + last, start + Math.max(last, to))
      greyRow(step.levels, across, down, row, start, first, last, padded)
      if (opacity > 0) heatRow(across, down, row, start, first, last, opacity)
    }
  }

  // Grey of one row, between the levels of four neighbours.
  function greyRow(levels, across, down, row, start, first, last, padded) {
    const { near, far, part } = across
    const { pixels } = image
    const tones = table
    const upper = down.near[row]
    const lower = down.far[row]
    const share = down.part[row]
    for (let x = first; x < last; x++) {
      const left = near[x]
      const right = far[x]
      const p = levels[left + upper]
      const q = levels[right + upper]
      const r = levels[left + lower]
      const s = levels[right + lower]
      let grey
      if (padded && (p === 0 || q === 0 || r === 0 || s === 0)) {
        grey = tones[share < 0.5 ? (part[x] < 0.5 ? p : q) : part[x] < 0.5 ? r : s]
      } else {
        const above = p + (q - p) * part[x]
        const level = above + (r + (s - r) * part[x] - above) * share
        const below = level | 0
        const tone = tones[below]
        grey = (tone + (tones[below + 1] - tone) * (level - below) + 0.5) | 0
      }
      pixels[start + x] = BLACK | (grey * 0x010101)
    }
  }

  function heatRow(across, down, row, start, first, last, opacity) {
    const { heatNear, heatFar, heatPart } = across
    const { pixels } = image
    const field = heat
    const [red0, green0] = AMBER
    const [redMore, greenMore] = [RED[0] - red0, RED[1] - green0]
    const upper = down.heatNear[row]
    const lower = down.heatFar[row]
    const share = down.heatPart[row]
    for (let x = first; x < last; x++) {
      const left = heatNear[x]
      const right = heatFar[x]
      const t = heatPart[x]
      const above = field[left + upper] + (field[right + upper] - field[left + upper]) * t
      const below = field[left + lower] + (field[right + lower] - field[left + lower]) * t
      const support = above + (below - above) * share
      if (support === 0) continue
      const alpha = support * opacity
      const rest = (pixels[start + x] & 255) * (1 - alpha) + 0.5
      const red = (rest + (red0 + redMore * support) * alpha) | 0
      const green = (rest + (green0 + greenMore * support) * alpha) | 0
      pixels[start + x] = BLACK | ((rest | 0) << 16) | (green << 8) | red
    }
  }

  // For every screen column (or row) the two texels of the film beside it, as offsets into its rows, and their shares.
  function axis(kind, place, step, shrink, from, to, lens) {
    const isX = kind === "x"
    const size = isX ? source.width : source.height
    const last = (isX ? step.width : step.height) - 1
    const stride = isX ? 1 : step.width
    const heatStride = isX ? 1 : HEAT_SIDE
    const origin = isX ? place.ox : place.oy
    const along = isX ? place.ax || place.bx : place.ay || place.by
    const ofColumns = isX ? place.ax !== 0 : place.ay !== 0
    const middle = lens ? (ofColumns ? lens.x : lens.y) : 0
    const power = lens ? lens.power : 1
    const count = to - from
    const found = {
      inside: new Uint8Array(count), first: count, last: 0,
      near: new Int32Array(count), far: new Int32Array(count), part: new Float64Array(count),
      heatNear: new Int32Array(count), heatFar: new Int32Array(count), heatPart: new Float64Array(count),
    }
    for (let n = 0; n < count; n++) {
      const film = origin + along * (middle + (from + n + 0.5 - middle) / power)
      if (film >= 0 && film < size) {
        found.inside[n] = 1
        found.first = Math.min(found.first, n)
        found.last = n + 1
      }
      const texel = Math.min(Math.max(film * shrink - 0.5, 0), last)
      const low = Math.floor(texel)
      found.near[n] = low * stride
      found.far[n] = Math.min(low + 1, last) * stride
      found.part[n] = texel - low
      const cell = Math.min(Math.max((film / size) * HEAT_SIDE - 0.5, 0), HEAT_SIDE - 1)
      const heatLow = Math.floor(cell)
      found.heatNear[n] = heatLow * heatStride
      found.heatFar[n] = Math.min(heatLow + 1, HEAT_SIDE - 1) * heatStride
      found.heatPart[n] = cell - heatLow
    }
    return found
  }

  return {
    kind: "2D canvas",
    setFilm(decoded) { source = decoded },
    setTone(grey) { table = grey },
    setHeat(field) { heat = field },
    draw(place, opacity, padded, lens) {
      const { width, height } = canvas
      if (image?.data.width !== width || image?.data.height !== height) {
        const data = context.createImageData(width, height)
        image = { data, pixels: new Int32Array(data.data.buffer) }
      }
      fill(place, opacity, padded, { x0: 0, x1: width, y0: 0, y1: height }, null)
      if (lens) {
        const box = {
          x0: Math.max(0, Math.floor(lens.x - lens.radius)), x1: Math.min(width, Math.ceil(lens.x + lens.radius)),
          y0: Math.max(0, Math.floor(lens.y - lens.radius)), y1: Math.min(height, Math.ceil(lens.y + lens.radius)),
        }
        fill(place, opacity, padded, box, lens)
      }
      context.putImageData(image.data, 0, 0)
    },
    free() { image = null },
  }
}
