// A picture that can be looked at closely: zoom and pan by wheel, pinch, drag, buttons and keys; and, where places are asked for,
// points in it by mouse, touch and keyboard. Places are parts of the picture's width and height, so no screen changes them.

const MOST_ZOOM = 16;
const STEP = 1.25;
const DRAG_PIXELS = 6;
const MARGIN_PIXELS = 24;

export class Viewer {
  #stage;
  #sheet;
  #image;
  #zoom = 1;
  #x = 0;
  #y = 0;
  #pointers = new Map();
  #moved = 0;
  #pinch = null;
  #cursor = null;

  // points: null where none are asked for. changed: called with them whenever they change.
  constructor({ src, alt, points = null, changed = () => {} }) {
    this.points = points;
    this.changed = changed;
    this.element = document.createElement("div");
    this.element.className = "viewer";
    this.#stage = document.createElement("div");
    this.#stage.className = "stage";
    this.#stage.tabIndex = 0;
    this.#stage.setAttribute("role", "application");
    this.#stage.setAttribute("aria-label", points === null
      ? `${alt}. Plus and minus zoom, arrows pan, zero fits.`
      : `${alt}. Arrows move the cross, space sets a point, backspace takes the last one away, plus and minus zoom.`);
    this.#sheet = document.createElement("div");
    this.#sheet.className = "sheet-of-points";
    this.#image = new Image();
    this.#image.alt = "";
    this.#image.draggable = false;
    this.#image.src = src;
    this.#image.addEventListener("load", () => this.fit());
    this.#image.addEventListener("error", () => this.element.classList.add("broken"));
    this.#sheet.append(this.#image);
    this.#stage.append(this.#sheet);
    this.element.append(this.#stage, this.#buttons());
    this.#listen();
    this.#observer = new ResizeObserver(() => this.#place());
    this.#observer.observe(this.#stage);
  }

  #observer;

  close() {
    this.#observer.disconnect();
  }

  focus() {
    this.#stage.focus({ preventScroll: true });
  }

  fit() {
    [this.#zoom, this.#x, this.#y] = [1, 0, 0];
    this.#place();
  }

  setPoints(points) {
    this.points = points;
    this.#place();
    this.changed(points);
  }

  // Zoom by a factor around a place of the stage, by default its middle.
  zoom(factor, atX = 0, atY = 0) {
    const zoom = Math.min(Math.max(this.#zoom * factor, 1), MOST_ZOOM);
    const change = zoom / this.#zoom;
    this.#x = atX - (atX - this.#x) * change;
    this.#y = atY - (atY - this.#y) * change;
    this.#zoom = zoom;
    this.#place();
  }

  pan(x, y) {
    this.#x += x;
    this.#y += y;
    this.#place();
  }

  // Pan no farther than it takes to see a point.
  #reveal({ x, y }) {
    const [width, height] = this.#fitted;
    const beyond = (at, room) => Math.sign(at) * Math.max(0, Math.abs(at) - Math.max(0, room / 2 - MARGIN_PIXELS));
    this.pan(
      -beyond(this.#x + (x - 0.5) * width * this.#zoom, this.#stage.clientWidth),
      -beyond(this.#y + (y - 0.5) * height * this.#zoom, this.#stage.clientHeight),
    );
  }

  // The picture's size on the stage before any zoom.
  get #fitted() {
    const { clientWidth: width, clientHeight: height } = this.#stage;
    const scale = Math.min(width / (this.#image.naturalWidth || 1), height / (this.#image.naturalHeight || 1));
    return [this.#image.naturalWidth * scale, this.#image.naturalHeight * scale];
  }

  #place() {
    const [width, height] = this.#fitted;
    const roomX = Math.max(0, (width * this.#zoom - this.#stage.clientWidth) / 2);
    const roomY = Math.max(0, (height * this.#zoom - this.#stage.clientHeight) / 2);
    this.#x = Math.min(Math.max(this.#x, -roomX), roomX);
    this.#y = Math.min(Math.max(this.#y, -roomY), roomY);
    const sheet = this.#sheet.style;
    sheet.width = `${width * this.#zoom}px`;
    sheet.height = `${height * this.#zoom}px`;
    sheet.transform = `translate(calc(-50% + ${this.#x}px), calc(-50% + ${this.#y}px))`;
    this.#stage.classList.toggle("zoomed", this.#zoom > 1);
    this.#draw();
  }

  #draw() {
    for (const mark of this.#sheet.querySelectorAll(".mark")) mark.remove();
    for (const [index, point] of (this.points ?? []).entries()) this.#mark("mark", point, String(index + 1));
    if (this.#cursor) this.#mark("mark cross", this.#cursor, "");
  }

  #mark(kind, { x, y }, text) {
    const mark = document.createElement("span");
    mark.className = kind;
    mark.textContent = text;
    mark.style.left = `${x * 100}%`;
    mark.style.top = `${y * 100}%`;
    this.#sheet.append(mark);
  }

  #buttons() {
    const bar = document.createElement("div");
    bar.className = "zooms";
    for (const [name, text, act] of [
      ["Zoom out", "−", () => this.zoom(1 / STEP)], ["Zoom in", "+", () => this.zoom(STEP)], ["Fit", "Fit", () => this.fit()],
    ]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.setAttribute("aria-label", name);
      button.addEventListener("click", act);
      bar.append(button);
    }
    return bar;
  }

  #listen() {
    const stage = this.#stage;
    stage.addEventListener("wheel", (event) => {
      // At its smallest a picture lets the page scroll on.
      if (this.#zoom === 1 && event.deltaY > 0 && !event.ctrlKey) return;
      event.preventDefault();
      const [x, y] = this.#fromMiddle(event);
      this.zoom(STEP ** (-event.deltaY / 100), x, y);
    }, { passive: false });
    stage.addEventListener("pointerdown", (event) => this.#down(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => this.#up(event));
    stage.addEventListener("keydown", (event) => this.#key(event));
    stage.addEventListener("blur", () => { this.#cursor = null; this.#draw(); });
  }

  #fromMiddle(event) {
    const box = this.#stage.getBoundingClientRect();
    return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
  }

  #down(event) {
    this.#stage.setPointerCapture(event.pointerId);
    if (this.#pointers.size === 0) this.#moved = 0;
    this.#pointers.set(event.pointerId, event);
    this.#pinch = this.#pinched();
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    this.#pointers.set(event.pointerId, event);
    this.#moved += Math.abs(event.clientX - before.clientX) + Math.abs(event.clientY - before.clientY);
    if (this.#pinch) {
      const { spread, x, y } = this.#pinch;
      this.#pinch = this.#pinched();
      this.zoom(this.#pinch.spread / spread, x, y);
      this.pan(this.#pinch.x - x, this.#pinch.y - y);
    } else if (this.#moved > DRAG_PIXELS) {
      this.pan(event.clientX - before.clientX, event.clientY - before.clientY);
    }
  }

  #up(event) {
    const wasAlone = this.#pointers.size === 1;
    this.#pointers.delete(event.pointerId);
    if (event.type === "pointerup" && wasAlone && this.#moved <= DRAG_PIXELS && this.points !== null) this.#add(event);
    if (!wasAlone) this.#moved = Infinity; // the finger that is lifted last sets no point
    this.#pinch = this.#pinched();
  }

  // How far two fingers are from each other, and where the middle between them is; null where it is not two.
  #pinched() {
    if (this.#pointers.size !== 2) return null;
    const [[x, y], [otherX, otherY]] = [...this.#pointers.values()].map((pointer) => this.#fromMiddle(pointer));
    return { spread: Math.max(Math.hypot(x - otherX, y - otherY), 1), x: (x + otherX) / 2, y: (y + otherY) / 2 };
  }

  #add(event) {
    const box = this.#sheet.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    if (x >= 0 && x <= 1 && y >= 0 && y <= 1) this.setPoints([...this.points, rounded(x, y)]);
  }

  #key(event) {
    if (event.altKey || event.metaKey || event.ctrlKey) return;
    const far = event.shiftKey ? 5 : 1;
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (x || y) {
      if (this.points === null) this.pan(-x * 40 * far, -y * 40 * far);
      else this.#steer(x * far, y * far);
    } else if (["+", "=", "-"].includes(event.key)) {
      this.zoom(event.key === "-" ? 1 / STEP : STEP);
      if (this.#cursor) this.#reveal(this.#cursor);
    } else if (event.key === "0") this.fit();
    else if (event.key === " " && this.points !== null) this.setPoints([...this.points, this.#cursor ?? rounded(0.5, 0.5)]);
    else if (event.key === "Backspace" && this.points !== null) this.setPoints(this.points.slice(0, -1));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #steer(x, y) {
    const step = 0.02 / this.#zoom;
    const at = this.#cursor ?? { x: 0.5, y: 0.5 };
    this.#cursor = rounded(Math.min(Math.max(at.x + x * step, 0), 1), Math.min(Math.max(at.y + y * step, 0), 1));
    this.#reveal(this.#cursor);
  }
}

function rounded(x, y) {
  return { x: Math.round(x * 1e5) / 1e5, y: Math.round(y * 1e5) / 1e5 };
}
