// Shows a question only while its condition on other answers holds. Without this script all of them stand there, and
// the server leaves out what was not asked.
(() => {
  const answers = (name) => {
    const field = document.querySelector(`[data-question="${name}"]`);
    if (!field || field.hidden) return [];
    return [...field.querySelectorAll("input:checked")].map((input) => input.value);
  };
  const holds = (when) => {
    if (when.all) return when.all.every(holds);
    if (when.any) return when.any.some(holds);
    if (when.question) return answers(when.question).some((value) => when.includes.includes(value));
    return false;
  };
  const fields = [...document.querySelectorAll("[data-question][data-asked-if]")];
  const refresh = () => fields.forEach((field) => (field.hidden = !holds(JSON.parse(field.dataset.askedIf))));
  document.addEventListener("change", (event) => {
    const input = event.target;
    const field = input.closest?.("[data-question]");
    if (!field) return;
    if (input.type === "checkbox" && input.checked) {
      const alone = input.hasAttribute("data-alone");
      field.querySelectorAll("input:checked").forEach((other) => {
        if (other !== input && (alone || other.hasAttribute("data-alone"))) other.checked = false;
      });
    }
    refresh();
  });
  refresh();
})();
