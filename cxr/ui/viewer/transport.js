// The film viewer. This file: pixels on their way into the browser; see packing.py for the other end.

const DECODED_KEPT = 4
const decodedFilms = new Map() // url -> promise of a decoded film, the latest last

// A picture as {width, height, curve, pyramid}; the pyramid holds it at full, half, quarter… size.
function decodedFilm(pixels, padded) {
  const known = decodedFilms.get(pixels.url)
  const coming = known ?? download(pixels, padded)
  decodedFilms.delete(pixels.url)
  decodedFilms.set(pixels.url, coming)
  // What failed is asked for anew the next time.
  coming.catch(() => decodedFilms.get(pixels.url) === coming && decodedFilms.delete(pixels.url))
  for (const url of decodedFilms.keys()) if (decodedFilms.size > DECODED_KEPT) decodedFilms.delete(url)
  return coming
}

async function download(pixels, padded) {
  if (typeof DecompressionStream === "undefined") throw new Error("This browser is too old to unpack films.")
  // The address follows from the content: what the browser has of it never grows old.
  const answer = await fetch(pixels.url, { cache: "force-cache", credentials: "same-origin" })
  if (!answer.ok) throw new Error(`The film could not be fetched (${answer.status}).`)
  const inflated = answer.body.pipeThrough(new DecompressionStream("deflate"))
  const bytes = new Uint8Array(await new Response(inflated).arrayBuffer())
  const { width, height, planes, curve } = pixels
  const size = width * height
  if (bytes.length !== size * planes + 4 * curve) throw new Error("The film arrived incomplete.")
  const levels = unpredicted(bytes, width, height, planes)
  const samples = new Float32Array(bytes.slice(size * planes).buffer)
  return { width, height, curve: curve ? samples : null, pyramid: pyramidOf(levels, width, height, padded) }
}

// Undoes the prediction of packing.py: differences with their sign in the lowest bit, low bytes first.
function unpredicted(bytes, width, height, planes) {
  const size = width * height
  const levels = new Uint16Array(size)
  const high = planes === 2 ? bytes.subarray(size) : null
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const folded = high ? bytes[at] | (high[at] << 8) : bytes[at]
      const difference = (folded >>> 1) ^ -(folded & 1)
      let predicted = 0
      if (y === 0) predicted = x === 0 ? 0 : levels[at - 1]
      else if (x === 0) predicted = levels[at - width]
      else {
        const left = levels[at - 1]
        const up = levels[at - width]
        const corner = levels[at - width - 1]
        const [least, most] = left < up ? [left, up] : [up, left]
        predicted = corner >= most ? least : corner <= least ? most : left + up - corner
      }
      levels[at] = predicted + difference
    }
  }
  return levels
}

function pyramidOf(levels, width, height, padded) {
  const pyramid = [{ levels, width, height }]
  while (width > 64 || height > 64) {
    const from = pyramid[pyramid.length - 1]
    width = (width + 1) >> 1
    height = (height + 1) >> 1
    pyramid.push({ levels: halved(from, width, height, padded), width, height })
  }
  return pyramid
}

// Means of 2 x 2 pixels; level 0 is no image where a film is padded, and no mean has part of it.
function halved(from, width, height, padded) {
  const half = new Uint16Array(width * height)
  const wide = from.width
  const source = from.levels
  for (let y = 0, at = 0; y < height; y++) {
    const upper = 2 * y * wide
    const lower = Math.min(2 * y + 1, from.height - 1) * wide
    for (let x = 0; x < width; x++, at++) {
      const left = 2 * x
      const right = left + 1 < wide ? left + 1 : left
      const a = source[upper + left]
      const b = source[upper + right]
      const c = source[lower + left]
      const d = source[lower + right]
      if (padded && !(a && b && c && d)) {
        const seen = (a > 0) + (b > 0) + (c > 0) + (d > 0)
        half[at] = seen >= 2 ? Math.round((a + b + c + d) / seen) : 0
      } else half[at] = (a + b + c + d + 2) >> 2
    }
  }
  return half
}
