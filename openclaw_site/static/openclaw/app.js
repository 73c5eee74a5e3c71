// Small behaviours of the pages. Every text comes from the page (data attributes); nothing here is needed to read a page.
"use strict";

document.addEventListener("click", (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const source = document.getElementById(copy.dataset.copy);
    navigator.clipboard?.writeText(source.textContent.trim()).then(() => {
      const label = copy.querySelector("[data-label]") ?? copy;
      label.textContent = copy.dataset.done;
    });
  }
});

// A form that asks first: <form data-confirm="Really?">. Without JavaScript the form is simply sent.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) {
    event.preventDefault();
    return;
  }
  if (form.method === "post" && !form.dataset.again) {
    const button = event.submitter;
    // After this turn of the event loop, so that the button's own name and value are still sent.
    if (button) setTimeout(() => { button.disabled = true; }, 0);
  }
});
window.addEventListener("pageshow", (event) => {
  if (event.persisted) document.querySelectorAll("button[disabled][type=submit]").forEach((b) => { b.disabled = false; });
});

// Choosing or dropping a file: its name and size, and a refusal before the upload when it is too big.
for (const zone of document.querySelectorAll(".dropzone")) {
  const input = zone.querySelector("input[type=file]");
  const chosen = zone.querySelector("[data-chosen]");
  const limit = Number(zone.dataset.limit || 0);
  const tell = () => {
    const file = input.files[0];
    if (!file) return;
    const tooBig = limit && file.size > limit;
    chosen.textContent = `${file.name} · ${(file.size / 1048576).toFixed(file.size < 1048576 ? 2 : 1)} MB`;
    input.setCustomValidity(tooBig ? zone.dataset.tooBig : "");
    if (tooBig) input.reportValidity();
  };
  input.addEventListener("change", tell);
  for (const name of ["dragenter", "dragover"]) zone.addEventListener(name, () => zone.classList.add("over"));
  for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("over"));
}

// The traffic split: a slider and number fields that always sum to 100.
for (const box of document.querySelectorAll("[data-split]")) {
  const range = box.querySelector("input[type=range]");
  const numbers = [...box.querySelectorAll("input[type=number]")];
  if (!range || numbers.length !== 2) continue;
  const show = (second) => {
    const value = Math.min(100, Math.max(0, Math.round(Number(second) || 0)));
    range.value = value;
    numbers[0].value = 100 - value;
    numbers[1].value = value;
    const parts = box.querySelectorAll("svg rect");
    if (parts.length === 2) {
      parts[0].setAttribute("width", `${100 - value}%`);
      parts[1].setAttribute("x", `${100 - value}%`);
      parts[1].setAttribute("width", `${value}%`);
    }
  };
  range.addEventListener("input", () => show(range.value));
  numbers[0].addEventListener("change", () => show(100 - Number(numbers[0].value)));
  numbers[1].addEventListener("change", () => show(numbers[1].value));
}

// Fields that matter only when a certain choice is made: <div data-when="purpose" data-is="a b">.
const dependents = document.querySelectorAll("[data-when]");
const refresh = () => {
  for (const part of dependents) {
    const field = document.querySelector(`[name="${part.dataset.when}"]`);
    const wanted = part.dataset.is.split(" ");
    const shown = field && wanted.includes(field.type === "checkbox" ? String(field.checked) : field.value);
    part.hidden = !shown;
    for (const inner of part.querySelectorAll("input, select, textarea")) inner.disabled = !shown;
  }
};
if (dependents.length) {
  document.addEventListener("change", refresh);
  refresh();
}
