// Passkeys: a form with data-passkey="get" or "create" asks the browser before it is sent. The question stands in
// data-options (JSON), or is fetched from data-options-url. Needs allauth's webauthn-json.js. The form's button comes
// disabled: pressed before this script has run, it would send a form without a credential.
"use strict";

for (const form of document.querySelectorAll("form[data-passkey]")) {
  const problem = form.querySelector("[data-problem]");
  const tell = (text) => {
    if (problem) { problem.textContent = text; problem.hidden = false; }
  };
  if (!window.webauthnJSON || !window.webauthnJSON.supported()) {
    tell(form.dataset.unsupported);
    continue;
  }
  form.addEventListener("submit", async (event) => {
    const field = form.elements.credential;
    if (field.value) return;
    event.preventDefault();
    event.stopPropagation();
    if (problem) problem.hidden = true;
    try {
      let options = form.dataset.options && JSON.parse(form.dataset.options);
      if (!options) {
        const answer = await fetch(form.dataset.optionsUrl, { headers: { Accept: "application/json" } });
        if (!answer.ok) throw new Error(String(answer.status));
        options = (await answer.json()).request_options;
      }
      const ask = form.dataset.passkey === "create" ? window.webauthnJSON.create : window.webauthnJSON.get;
      field.value = JSON.stringify(await ask(options));
      form.submit();
    } catch {
      tell(form.dataset.failed);
    }
  });
  form.querySelector("button[type=submit]").disabled = false;
}
