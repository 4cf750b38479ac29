const sounds = JSON.parse(document.getElementById("sounds").textContent);
const bar = document.getElementById("player");
const audio = bar.querySelector("audio");
const title = document.getElementById("playing");
let active = null;

function mark(button, on) {
  if (!button) return;
  button.setAttribute("aria-pressed", on ? "true" : "false");
  button.closest(".card").classList.toggle("playing", on);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-sound]");
  if (!button) return;
  if (button === active && !audio.paused) {
    audio.pause();
    return;
  }
  mark(active, false);
  if (button !== active) {
    active = button;
    audio.src = sounds[button.dataset.sound];
    title.textContent = button.dataset.name;
  }
  bar.hidden = false;
  audio.play();
});
audio.addEventListener("play", () => mark(active, true));
audio.addEventListener("pause", () => mark(active, false));
audio.addEventListener("ended", () => mark(active, false));
