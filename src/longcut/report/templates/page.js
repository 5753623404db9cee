"use strict";
(() => {
  for (const details of document.querySelectorAll("details")) {
    addEventListener("beforeprint", () => { details.open = true; });
  }
  const form = document.getElementById("filters");
  if (!form) return;
  const cards = [...document.querySelectorAll(".card")];
  const count = document.getElementById("count");
  const show = () => {
    const chosen = Object.fromEntries(new FormData(form));
    let visible = 0;
    for (const card of cards) {
      const fits = Object.entries(chosen).every(([key, value]) => value === "" || card.dataset[key] === value);
      card.hidden = !fits;
      visible += fits;
    }
    count.textContent = visible === 0 ? "No failure fits these filters." : `${visible} of ${cards.length} shown`;
  };
  form.addEventListener("input", show);
  document.getElementById("all").addEventListener("click", () => { form.reset(); show(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
})();
