// Icons of the toolbar: strokes on a 24 x 24 grid.

const ICONS = {
  window: '<circle cx="12" cy="12" r="8"/><path d="M12 4a8 8 0 0 1 0 16z" fill="currentColor"/>',
  move: '<path d="M12 3v18M3 12h18M12 3l-3 3M12 3l3 3M12 21l-3-3M12 21l3-3M3 12l3-3M3 12l3 3M21 12l-3-3M21 12l-3 3"/>',
  zoom: '<circle cx="10.5" cy="10.5" r="6.5"/><path d="M15.5 15.5 21 21M7.5 10.5h6M10.5 7.5v6"/>',
  magnify: '<circle cx="12" cy="12" r="8.5"/><circle cx="12" cy="12" r="3.5"/>',
  measure: '<path d="M3 16 16 3l5 5L8 21zM7 12l2 2M10 9l3 3M13 6l2 2"/>',
  forget: '<path d="M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13"/>',
  invert: '<rect x="4" y="4" width="16" height="16" rx="2"/><path d="M4 20 20 4v14a2 2 0 0 1-2 2z" fill="currentColor"/>',
  fit: '<path d="M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5"/><rect x="8.5" y="8.5" width="7" height="7"/>',
  actual: '<path d="M6 7v10M4 8.5 6 7M18 7v10M16 8.5 18 7M12 9.8v.4M12 13.8v.4"/>',
  turnLeft: '<path d="M5 12a7 7 0 1 1 2.2 5.1M5 12 2.5 9.2M5 12l3-2.3"/>',
  turnRight: '<path d="M19 12a7 7 0 1 0-2.2 5.1M19 12l2.5-2.8M19 12l-3-2.3"/>',
  boxes: '<rect x="4" y="7" width="10" height="10"/><path d="M10 4h10v10"/>',
  model: '<rect x="4" y="4" width="16" height="16"/><path d="M4 9.3h16M4 14.7h16M9.3 4v16M14.7 4v16"/>',
  compare: '<rect x="3" y="5" width="8" height="14"/><rect x="13" y="5" width="8" height="14"/>',
  link: '<path d="M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.300l-1 1M14 10a4 4 0 0 0-5.700 0l-3 3A4 4 0 0 0 11 18.700l1-1"/>',
  reset: '<path d="M5 5v5h5M5 10a8 8 0 1 1-.6 5"/>',
  full: '<path d="M14 4h6v6M20 4l-7 7M10 20H4v-6M4 20l7-7"/>',
  help: '<path d="M9 9a3 3 0 1 1 4.200 2.800c-.8.400-1.200 1-1.200 2.200M12 17.500v.1"/><circle cx="12" cy="12" r="9"/>',
}

function icon(name) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  made.setAttribute("viewBox", "0 0 24 24")
  made.setAttribute("aria-hidden", "true")
  made.innerHTML = ICONS[name]
  return made
}
