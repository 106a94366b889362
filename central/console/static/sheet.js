// A sheet of paper is printed by the browser that shows it.
"use strict";
addEventListener("click", (event) => {
  if (event.target.closest("[data-print]")) print();
});
