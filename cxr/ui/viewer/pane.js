// One film on the screen: its canvases, its words in the corners, and what it says when it can't be drawn.

const LENS = { radius: 110, power: 2.5 }

class Pane {
  constructor(viewer, element) {
    this.viewer = viewer
    this.element = element
    this.marks = element.querySelector(".marks")
    this.corners = Object.fromEntries(["title", "mode", "window", "pixel"].map((k) => [k, element.querySelector(`.${k}`)]))
    this.message = element.querySelector(".message")
    this.film = null
    this.painter = null
    this.decoded = null
    this.lens = null
    this.pending = null
    this.table = new Uint8Array(LEVELS)
    this.sizes = new ResizeObserver(() => this.invalidate())
    this.sizes.observe(element)
    this.message.querySelector("button").onclick = () => this.load()
  }

  // Show a film, or none; the same film with new words is not loaded again.
  show(film, finding) {
    const same = film && this.film && film.id === this.film.id && film.pixels.url === this.film.pixels.url
    this.film = film
    if (!film) return
    this.state = stateOf(this.viewer.data.key, film, finding)
    this.heatOf = null
    if (same) return this.invalidate()
    this.decoded = this.shownTone = this.pending = this.lens = null
    this.load()
  }

  get look() {
    return this.state.model ? this.state.square : this.state.film
  }

  // Linked films share the place they show; grey stays each film's own.
  get view() {
    const first = this.viewer.panes[0]
    return this.viewer.comparing && this.viewer.habits.linked && this !== first ? first.look.view : this.look.view
  }

  // What the window is told by: the film's own levels, or the 8 bits of the model's square.
  get scale() {
    if (!this.state.model) return this.film
    return { low: 0, high: 255, bottom: 0, top: 255, reach: [0, 1], padded: false, zero: 0, step: 1 }
  }

  get finding() {
    return this.film.findings.find((one) => one.name === this.state.finding) ?? null
  }

  async load() {
    const { film } = this
    const wanted = this.state.model ? film.square : film.pixels
    this.wanted = wanted
    this.tell("Loading the film", false)
    try {
      const decoded = await decodedFilm(wanted, !this.state.model && film.padded)
      if (this.wanted !== wanted) return
      this.startPainter(Math.max(wanted.width, wanted.height))
      this.decoded = decoded
      this.shownTone = null
      this.painter.setFilm(decoded)
      this.element.dataset.painter = this.painter.kind
      this.tell(null)
    } catch (error) {
      if (this.wanted !== wanted) return
      const known = error.message.endsWith(".")
      this.tell(known ? error.message : `The film could not be shown (${error.message}).`, true)
    }
    this.viewer.refresh()
  }

  startPainter(largest) {
    if (this.painter) return
    this.canvas = this.freshCanvas()
    this.painter = webglPainter(this.canvas, largest)
    if (!this.painter) {
      this.canvas = this.freshCanvas()
      this.painter = canvasPainter(this.canvas)
    }
    if (!this.painter) throw new Error("This browser can draw neither by WebGL nor on a canvas.")
    this.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault())
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.painter = null
      this.load()
    })
  }

  freshCanvas() {
    // A canvas never changes the kind of its context.
    const old = this.element.querySelector(".film")
    const fresh = old.cloneNode()
    old.replaceWith(fresh)
    this.heatOf = this.shownTone = null
    return fresh
  }

  tell(text, retry) {
    this.message.hidden = text === null
    this.message.querySelector("span").textContent = text ?? ""
    this.message.querySelector("button").hidden = !retry
    this.element.setAttribute("aria-busy", text !== null && !retry)
    if (retry) this.viewer.say(text)
  }

  get ratio() {
    return window.devicePixelRatio || 1
  }

  fitCanvases() {
    const width = Math.max(1, Math.round(this.element.clientWidth * this.ratio))
    const height = Math.max(1, Math.round(this.element.clientHeight * this.ratio))
    for (const canvas of [this.canvas, this.marks])
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height })
  }

  get place() {
    return placement(this.view, this.decoded, this.canvas.width, this.canvas.height)
  }

  get heat() {
    const { finding } = this
    const name = finding?.name ?? null
    if (this.heatOf !== name) {
      this.heatOf = name
      this.field = finding ? heatField(finding, this.film.shift) : null
      this.contourAt = null
      this.painter.setHeat(this.field)
    }
    return this.field
  }

  get contour() {
    if (!this.state.contour || !this.heat) return null
    if (this.contourAt !== this.state.threshold) {
      this.contourAt = this.state.threshold
      this.pieces = contourOf(this.heat, this.contourAt)
    }
    return this.pieces
  }

  invalidate() {
    if (this.due) return
    this.due = requestAnimationFrame(() => {
      this.due = 0
      this.paint()
    })
  }

  paint() {
    if (!this.film || !this.decoded || !this.element.clientWidth) return
    this.fitCanvases()
    const { look, state, place } = this
    const tone = `${look.low} ${look.high} ${look.invert}`
    if (this.shownTone !== tone) {
      this.shownTone = tone
      this.painter.setTone(greyTable(this.scale, this.decoded, look.low, look.high, look.invert, this.table))
    }
    const heated = this.heat && state.opacity > 0
    this.painter.draw(place, heated ? state.opacity : 0, this.scale.padded, this.lens)
    drawMarks(this.marks.getContext("2d"), {
      film: this.film, place, state, lens: this.lens, pending: this.pending, ratio: this.ratio,
      boxes: this.viewer.habits.boxes, contour: this.contour,
    })
    this.writeCorners(place)
  }

  writeCorners(place) {
    const { look, state, corners, film } = this
    const zoom = `${(place.scale * 100).toFixed(0)}%`
    corners.title.textContent = film.title
    corners.window.textContent = `${windowWords(this.scale, look.low, look.high)}   ${zoom}`
    corners.mode.textContent = [
      state.model ? `Model's view, ${film.square.width} × ${film.square.height}` : "",
      look.invert ? "Inverted" : "",
      this.view.turn ? `Turned ${this.view.turn * 90}°` : "",
      this.heat && state.opacity > 0 ? `Heatmap ${Math.round(state.opacity * 100)}%: ${this.finding.label}` : "",
      this.contour ? `Contour at ${state.threshold.toFixed(2)}: ${this.finding.label}` : "",
    ].filter(Boolean).join("\n")
  }

  // The value of the file under a point of the screen, in words.
  pointAt(x, y) {
    if (!this.decoded) return (this.corners.pixel.textContent = "")
    const { width, height } = this.decoded
    const [column, row] = toFilm(this.place, x, y).map(Math.floor)
    if (column < 0 || row < 0 || column >= width || row >= height) return (this.corners.pixel.textContent = "")
    const level = this.decoded.pyramid[0].levels[row * width + column]
    const value = this.scale.padded && level === 0 ? "no image" : short(this.scale.zero + this.scale.step * level)
    this.corners.pixel.textContent = `x ${column}  y ${row}  ${value}`
  }

  free() {
    this.sizes.disconnect()
    cancelAnimationFrame(this.due)
    this.painter?.free()
    this.painter = this.decoded = this.wanted = null
  }
}
