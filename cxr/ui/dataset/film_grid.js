// A grid of thumbnails. Each is a button: click, Enter or Space chooses its film.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const grid = parentElement.querySelector(".grid")
  grid.replaceChildren(
    ...data.films.map((film) => {
      const button = document.createElement("button")
      button.type = "button"
      button.title = film.title
      button.setAttribute("aria-label", film.title)
      if (film.id === data.current) button.setAttribute("aria-current", "true")
      button.onclick = () => setTriggerValue("chosen", film.id)
      if (film.picture) {
        const picture = document.createElement("img")
        picture.src = film.picture
        picture.alt = ""
        button.append(picture)
      } else {
        const place = document.createElement("span")
        place.className = "missing"
        place.textContent = film.missing
        button.append(place)
      }
      for (const [kind, text] of [["labels", film.labels], ["facts", film.facts]]) {
        const line = document.createElement("span")
        line.className = kind
        line.textContent = text
        button.append(line)
      }
      return button
    }),
  )
}
