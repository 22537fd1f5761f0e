// What every page does better with a script, and does without one too.

// Times are sent as UTC and shown in the reader's own zone.
function localize(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.valueOf()) || element.title) continue;
    element.title = element.dateTime;
    element.textContent = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }
}

function offerCopying(root) {
  for (const button of root.querySelectorAll("button[data-copies]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent.trim());
      button.textContent = "Copied";
    });
  }
}

// One open confirmation at a time, and Escape closes it, as people expect of what lies above a page.
document.addEventListener("toggle", (event) => {
  if (!(event.target.matches?.("details.confirm") && event.target.open)) return;
  for (const other of document.querySelectorAll("details.confirm[open]")) if (other !== event.target) other.open = false;
}, true);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of document.querySelectorAll("details.confirm[open]")) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});

// What replaces a live part leaves the focus on what stands there again, and so does a page that is loaded anew when its run has
// ended: it is known by its id, a link by its address.
function nameOf(element) {
  if (element?.id) return `#${CSS.escape(element.id)}`;
  const address = element?.getAttribute("href");
  return address ? `a[href=${JSON.stringify(address)}]` : "";
}

function focusAgain(name) {
  if (name && document.activeElement === document.body) document.querySelector(name)?.focus({ preventScroll: true });
}

let focused = "";
document.addEventListener("htmx:beforeSwap", () => { focused = nameOf(document.activeElement); });
document.addEventListener("htmx:afterSwap", (event) => {
  localize(event.target.isConnected ? event.target : document);
  focusAgain(focused);
});

localize(document);
offerCopying(document);
document.querySelector(".top nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

addEventListener("pagehide", () => sessionStorage.setItem("amends:focus", nameOf(document.activeElement)));
if (performance.getEntriesByType("navigation")[0]?.type === "reload") focusAgain(sessionStorage.getItem("amends:focus"));
