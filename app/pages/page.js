/* One player for all cards, and the tooltip of the map. Listeners are on the document: answers are replaced. */
const sound = new Audio();
let playing = null;
function stop() { if (playing) playing.classList.remove("playing"); playing = null; }
sound.addEventListener("ended", stop);
sound.addEventListener("error", stop);
document.addEventListener("error", (event) => {
  if (event.target.matches && event.target.matches(".es-media img, .es-tip img")) explain(event.target, event.target.src);
}, true);
/* Show the server's message for a picture or sound that failed to load, once above its answer. */
async function explain(element, address) {
  const response = await fetch(address);
  if (response.ok) return;
  const line = document.createElement("p");
  line.className = "es-failed";
  line.setAttribute("role", "alert");
  line.textContent = await response.text();
  const answer = element.closest(".es");
  if (answer && !answer.querySelector(".es-failed")) answer.prepend(line);
}
function play(from) {
  const same = playing === from;
  sound.pause();
  stop();
  if (same) return;
  playing = from;
  from.classList.add("playing");
  sound.src = from.dataset.play;
  sound.play().catch(() => { stop(); explain(from, from.dataset.play); });
}
document.addEventListener("click", (event) => {
  const from = event.target.closest("[data-play]");
  if (from) play(from);
});
document.addEventListener("keydown", (event) => {
  const from = event.target.closest("g[data-play]");
  if (from && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); play(from); }
});
function tip(event) {
  const from = event.target.closest ? event.target.closest("[data-show]") : null;
  for (const box of document.querySelectorAll(".es-tip")) {
    const map = box.parentElement;
    if (!from || !map.contains(from)) { box.hidden = true; continue; }
    box.hidden = false;
    const image = box.querySelector("img");
    if (image.getAttribute("src") !== from.dataset.show) image.src = from.dataset.show;
    box.querySelector("span").textContent = from.dataset.name;
    const a = from.getBoundingClientRect(), b = map.getBoundingClientRect();
    box.style.left = Math.min(Math.max(a.left - b.left - 64, 0), b.width - 132) + "px";
    box.style.top = a.bottom - b.top + 8 + "px";
  }
}
document.addEventListener("mouseover", tip);
document.addEventListener("focusin", tip);
/* On a narrow page answers stand below what was asked with: bring them into view as they come. */
new MutationObserver((changes) => {
  if (innerWidth > 640) return;
  for (const { target } of changes) {
    const answer = target.closest ? target.closest("#found, #verdict, #classes") : null;
    if (answer && answer.querySelector(".es") && (answer.getBoundingClientRect().top > innerHeight / 2 || answer.getBoundingClientRect().top < 0)) {
      answer.scrollIntoView({ behavior: "smooth" });
      return;
    }
  }
}).observe(document, { childList: true, subtree: true });
