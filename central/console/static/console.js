// What the console needs beyond htmx: whether its news is live, tidy filter addresses, and peace while a person selects.
"use strict";

document.addEventListener("htmx:sseOpen", () => document.body.classList.remove("stale"));
document.addEventListener("htmx:sseError", () => document.body.classList.add("stale"));
document.addEventListener("htmx:sendError", () => document.body.classList.add("stale"));

// A page that renews itself must not take away the text that a person is marking.
document.addEventListener("htmx:beforeSwap", (event) => {
  const live = document.getElementById("live");
  const marked = document.getSelection();
  if (live && marked && !marked.isCollapsed && live.contains(marked.anchorNode)) {
    event.detail.shouldSwap = false;
  }
});

// Nor what a person has ticked, or is filling in.
document.addEventListener("htmx:beforeSwap", (event) => {
  const live = document.getElementById("live");
  const filling = live && live.querySelector("form:focus-within");
  if (filling || document.querySelector("#live input[type=checkbox]:checked")) event.detail.shouldSwap = false;
});
document.addEventListener("change", (event) => {
  const name = event.target.dataset.all;
  if (!name) return;
  for (const box of document.querySelectorAll(`input[type=checkbox][name="${name}"]`)) box.checked = event.target.checked;
});

// An address names only the filters that were chosen.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches("form.filters")) {
    for (const field of form.elements) {
      if (field.name && field.value === "") field.disabled = true;
    }
  }
}, true);
function enable() {
  for (const field of document.querySelectorAll("form.filters :disabled")) field.disabled = false;
}
document.addEventListener("htmx:afterRequest", enable);
window.addEventListener("pageshow", enable); // back from the next page: the browser shows the form as it was left

document.addEventListener("change", (event) => {
  const form = event.target.closest("form.filters:not(.range)");
  if (form && event.target.matches("select, input[type=date]")) form.requestSubmit();
});
