// From levels to grey: the window. Both painters get their grey from the table made here.

const LEVELS = 65536
const NARROWEST = 1

// Adding and taking away 1.5 * 2**52 rounds to whole numbers, halves to even ones, as NumPy does.
const ROUNDER = 6755399441055744

// Grey of every level of a film, 0..255, at a window; the same numbers as FullDepth.picture.
function greyTable(film, decoded, low, high, invert, table) {
  const { curve } = decoded
  const [first, last] = film.reach
  const steps = curve ? curve.length - 1 : 0
  const width = high - low
  const top = Math.min(film.top + 1, LEVELS - 1)
  for (let level = 0; level <= top; level++) {
    let grey = (level - low) / width
    if (curve !== null) {
      const place = Math.min(Math.max(((grey - first) * steps) / (last - first), 0), steps)
      const below = Math.min(Math.floor(place), steps - 1)
      grey = curve[below] + (curve[below + 1] - curve[below]) * (place - below)
    } else if (grey < 0) grey = 0
    else if (grey > 1) grey = 1
    const whole = Math.fround(Math.fround(grey) * 255) + ROUNDER - ROUNDER
    table[level] = invert ? 255 - whole : whole
  }
  if (film.padded) table[0] = 0
  return table
}

// The windows of the list. A radiograph's numbers have no unit, so all but the last are told by the file's own window.
const PRESETS = [
  ["As the file says", (film) => [film.low, film.high]],
  ["Wide: lower contrast", (film) => about((film.low + film.high) / 2, (film.high - film.low) * 1.6)],
  ["Dark parts: lungs", (film) => [film.low, film.low + (film.high - film.low) * 0.6]],
  ["Bright parts: bone, mediastinum", (film) => [film.high - (film.high - film.low) * 0.6, film.high]],
  ["Full range of the film", (film) => [film.bottom, Math.max(film.top, film.bottom + NARROWEST)]],
]

function about(centre, width) {
  const wide = Math.max(width, NARROWEST)
  return [centre - wide / 2, centre + wide / 2]
}

// Drawn `across` CSS pixels to the right the window widens, `down` it darkens.
function draggedWindow(film, low, high, across, down) {
  const unit = (film.high - film.low) / 512
  return about((low + high) / 2 + down * unit, high - low + across * unit)
}

// Width and centre in values of the file, for the reader.
function windowWords(film, low, high) {
  const centre = film.zero + (film.step * (low + high)) / 2
  return `W ${short((high - low) * Math.abs(film.step))}  L ${short(centre)}`
}

function short(value) {
  return Math.abs(value) >= 100 || Number.isInteger(value) ? String(Math.round(value)) : String(Number(value.toPrecision(3)))
}
