// All that a reader can do, in one table: the toolbar, the keyboard and the list of keys are made of it.

const TOOLS = ["window", "move", "zoom", "magnify", "measure"]
const STEP = 40 // CSS pixels a press of an arrow key stands for
const FADE = 0.05

// name: {keys, label, group, run(viewer, pane), pressed?(viewer, pane), enabled?(viewer, pane), said?(viewer, pane)}
const ACTIONS = {
  window: toolAction("w", "Window: drag across for contrast, down to darken"),
  move: toolAction("m", "Move: drag the film (also the middle button, or Shift)"),
  zoom: toolAction("z", "Zoom: drag up or down (also the right button and the wheel)"),
  magnify: toolAction("g", "Magnifier under the pointer"),
  measure: toolAction("l", "Length: draw a line"),
  forget: {
    keys: ["x", "Delete"], label: "Remove the measures", group: "Tools",
    enabled: (viewer, pane) => pane.state.measures.length > 0,
    run: (viewer, pane) => pane.state.measures.splice(0), said: () => "Measures removed",
  },
  ...Object.fromEntries(PRESETS.map(([label, windowOf], n) => [
    `preset${n + 1}`,
    { keys: [String(n + 1)], label: `Window: ${label}`, group: "Grey", run: (viewer, pane) => {
      ;[pane.look.low, pane.look.high] = windowOf({ ...pane.scale, low: homeWindow(pane)[0], high: homeWindow(pane)[1] })
    }, said: () => label },
  ])),
  invert: {
    keys: ["i"], label: "Invert black and white", group: "Grey", pressed: (viewer, pane) => pane.look.invert,
    run: (viewer, pane) => (pane.look.invert = !pane.look.invert),
    said: (viewer, pane) => (pane.look.invert ? "Inverted" : "Not inverted"),
  },
  wider: windowStep("Shift+ArrowRight", "More levels: lower contrast", STEP, 0),
  narrower: windowStep("Shift+ArrowLeft", "Fewer levels: higher contrast", -STEP, 0),
  darker: windowStep("Shift+ArrowDown", "Darker", 0, STEP),
  brighter: windowStep("Shift+ArrowUp", "Brighter", 0, -STEP),
  fit: {
    keys: ["f"], label: "Fit the film", group: "Place", run: (viewer, pane) => Object.assign(pane.view, { zoom: 1, x: 0.5, y: 0.5 }),
    said: () => "Fitted",
  },
  actual: {
    keys: ["a"], label: "Actual size: one pixel of the film a pixel of the screen", group: "Place",
    run: (viewer, pane) => actualSize(pane.view, pane.decoded, pane.canvas.width, pane.canvas.height), said: () => "100%",
  },
  enlarge: zoomStep(["+", "="], "Zoom in", 1.25),
  reduce: zoomStep(["-"], "Zoom out", 0.8),
  left: moveStep("ArrowLeft", "Move left", STEP, 0),
  right: moveStep("ArrowRight", "Move right", -STEP, 0),
  up: moveStep("ArrowUp", "Move up", 0, STEP),
  down: moveStep("ArrowDown", "Move down", 0, -STEP),
  turnLeft: turn("[", "Turn left", 3),
  turnRight: turn("]", "Turn right", 1),
  heatmap: {
    keys: ["h"], label: "Heatmap on or off", group: "Evidence", enabled: (viewer, pane) => pane.film.findings.length > 0,
    pressed: (viewer, pane) => pane.state.opacity > 0,
    run: (viewer, pane) => {
      const { state } = pane
      if (state.opacity > 0) [state.lastOpacity, state.opacity] = [state.opacity, 0]
      else state.opacity = state.lastOpacity
    },
    said: heatWords,
  },
  previousFinding: findingStep(",", "Previous finding", -1),
  nextFinding: findingStep(".", "Next finding", 1),
  stronger: fade("PageUp", "Heatmap more opaque", FADE),
  fainter: fade("PageDown", "Heatmap less opaque", -FADE),
  contour: {
    keys: ["t"], label: "Contour on or off", group: "Evidence", enabled: (viewer, pane) => pane.film.findings.length > 0,
    pressed: (viewer, pane) => pane.state.contour, run: (viewer, pane) => (pane.state.contour = !pane.state.contour),
    said: (viewer, pane) => (pane.state.contour ? `Contour at ${pane.state.threshold.toFixed(2)}` : "No contour"),
  },
  higher: threshold("Shift+PageUp", "Contour higher", FADE),
  lower: threshold("Shift+PageDown", "Contour lower", -FADE),
  boxes: {
    keys: ["b"], label: "Boxes on or off", group: "Evidence",
    enabled: (viewer) => viewer.panes.some((pane) => pane.film?.boxes.length),
    pressed: (viewer) => viewer.habits.boxes, run: (viewer) => (viewer.habits.boxes = !viewer.habits.boxes),
    said: (viewer) => (viewer.habits.boxes ? "Boxes shown" : "Boxes hidden"),
  },
  model: {
    keys: ["q"], label: "The model's view: the square it saw", group: "Evidence", enabled: (viewer, pane) => pane.film.square !== null,
    pressed: (viewer, pane) => pane.state.model,
    run: (viewer, pane) => {
      pane.state.model = !pane.state.model
      pane.decoded = pane.shownTone = null
      pane.load()
    },
    said: (viewer, pane) => (pane.state.model ? "The square that the model saw" : "The film"),
  },
  compare: {
    keys: ["p"], label: "Previous film beside it", group: "Previous film", enabled: (viewer) => viewer.data.previous !== null,
    pressed: (viewer) => viewer.habits.compare,
    run: (viewer) => {
      viewer.habits.compare = !viewer.habits.compare
      viewer.showFilms()
    },
    said: (viewer) => (viewer.habits.compare ? "Previous film beside it" : "One film"),
  },
  link: {
    keys: ["s"], label: "Same place in both films", group: "Previous film", enabled: (viewer) => viewer.comparing,
    pressed: (viewer) => viewer.habits.linked, run: (viewer) => (viewer.habits.linked = !viewer.habits.linked),
    said: (viewer) => (viewer.habits.linked ? "Films linked" : "Films not linked"),
  },
  other: {
    keys: ["o"], label: "Go to the other film", group: "Previous film", enabled: (viewer) => viewer.comparing,
    run: (viewer) => viewer.panes[viewer.pane === viewer.panes[0] ? 1 : 0].element.focus(),
    said: (viewer, pane) => pane.film.title,
  },
  reset: {
    keys: ["0"], label: "All as at first", group: "Viewer",
    run: (viewer, pane) => {
      const [low, high] = homeWindow(pane)
      Object.assign(pane.look, { low, high, invert: false })
      Object.assign(pane.view, newView())
      Object.assign(pane.state, { opacity: 0, contour: false, threshold: 0.5 })
    },
    said: () => "All as at first",
  },
  full: {
    keys: ["e"], label: "Whole screen", group: "Viewer", pressed: () => document.fullscreenElement !== null,
    run: (viewer) => (document.fullscreenElement ? document.exitFullscreen() : viewer.root.requestFullscreen()),
  },
  help: { keys: ["?"], label: "Keys", group: "Viewer", run: (viewer) => viewer.toggleHelp() },
}

function homeWindow(pane) {
  return pane.state.model ? [0, 255] : [pane.film.low, pane.film.high]
}

function toolAction(key, label) {
  const name = { w: "window", m: "move", z: "zoom", g: "magnify", l: "measure" }[key]
  return {
    keys: [key], label, group: "Tools", tool: true, pressed: (viewer) => viewer.habits.tool === name,
    run: (viewer, pane) => {
      viewer.habits.tool = name
      pane.lens = null
    },
    said: (viewer, pane) => (name === "measure" ? `${label}. ${spacingWords(pane.film)}` : label),
  }
}

function windowStep(key, label, across, down) {
  return {
    keys: [key], label, group: "Grey",
    run: (viewer, pane) => ([pane.look.low, pane.look.high] = draggedWindow(pane.scale, pane.look.low, pane.look.high, across, down)),
    said: (viewer, pane) => windowWords(pane.scale, pane.look.low, pane.look.high),
  }
}

function zoomStep(keys, label, factor) {
  return {
    keys, label, group: "Place",
    run: (viewer, pane) => {
      const { width, height } = pane.canvas
      zoomAbout(pane.view, pane.decoded, width, height, factor, width / 2, height / 2)
    },
    said: (viewer, pane) => `${Math.round(pane.place.scale * 100)}%`,
  }
}

function moveStep(key, label, dx, dy) {
  return {
    keys: [key], label, group: "Place",
    run: (viewer, pane) => panBy(pane.view, pane.decoded, pane.canvas.width, pane.canvas.height, dx * pane.ratio, dy * pane.ratio),
  }
}

function turn(key, label, quarters) {
  return {
    keys: [key], label, group: "Place",
    run: (viewer, pane) => {
      const before = pane.place.scale
      pane.view.turn = (pane.view.turn + quarters) % 4
      // What fits goes on fitting; what was zoomed keeps its size.
      if (pane.view.zoom !== 1) pane.view.zoom *= before / pane.place.scale
    },
    said: (viewer, pane) => `Turned ${pane.view.turn * 90}°`,
  }
}

function findingStep(key, label, by) {
  return {
    keys: [key], label, group: "Evidence", enabled: (viewer, pane) => pane.film.findings.length > 1,
    run: (viewer, pane) => {
      const names = pane.film.findings.map((one) => one.name)
      pane.state.finding = names[(names.indexOf(pane.state.finding) + by + names.length) % names.length]
    },
    said: heatWords,
  }
}

function fade(key, label, by) {
  return {
    keys: [key], label, group: "Evidence", enabled: (viewer, pane) => pane.film.findings.length > 0,
    run: (viewer, pane) => (pane.state.opacity = Math.min(Math.max(Math.round((pane.state.opacity + by) * 20) / 20, 0), 1)),
    said: heatWords,
  }
}

function threshold(key, label, by) {
  return {
    keys: [key], label, group: "Evidence", enabled: (viewer, pane) => pane.state.contour,
    run: (viewer, pane) =>
      (pane.state.threshold = Math.min(Math.max(Math.round((pane.state.threshold + by) * 20) / 20, 0.05), 0.95)),
    said: (viewer, pane) => `Contour at ${pane.state.threshold.toFixed(2)}`,
  }
}

function heatWords(viewer, pane) {
  const { finding, state } = pane
  if (!finding.grid) return `${finding.caption}. ${finding.note.replaceAll("**", "") || "No region speaks for it."}`
  return `${finding.caption}. Heatmap ${state.opacity > 0 ? `${Math.round(state.opacity * 100)}%` : "off"}`
}
