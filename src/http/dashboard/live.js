// Puts in what the server tells once a second, and asks before anything is killed.
"use strict";

const live = document.getElementById("live");
const lost = document.getElementById("lost");
if (live) {
  const source = new EventSource("/dashboard/live");
  source.addEventListener("state", (event) => {
    // Who has scrolled a table, or stands in it with the keyboard, is to find it as it was.
    const before = [...live.querySelectorAll(".scroll")];
    const focused = before.indexOf(document.activeElement);
    const scrolled = before.map((table) => table.scrollLeft);
    live.innerHTML = event.data;
    live.querySelectorAll(".scroll").forEach((table, index) => {
      table.scrollLeft = scrolled[index] ?? 0;
      if (index === focused) table.focus({ preventScroll: true });
    });
    lost.hidden = true;
  });
  source.addEventListener("error", () => {
    lost.hidden = false;
  });
}

for (const form of document.querySelectorAll("form[data-confirm]")) {
  form.addEventListener("submit", (event) => {
    if (!window.confirm(form.dataset.confirm)) event.preventDefault();
  });
}
