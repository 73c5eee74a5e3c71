// The frame on every page, the admin pages included: the sidebar on small screens, and menus that close by themselves.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const sidebar = document.querySelector(".oc-sidebar");
  const opener = document.querySelector("[data-menu]");
  const setOpen = (open) => {
    sidebar?.classList.toggle("oc-open", open);
    opener?.setAttribute("aria-expanded", String(open));
  };
  opener?.addEventListener("click", () => {
    const open = !sidebar.classList.contains("oc-open");
    setOpen(open);
    if (open) sidebar.querySelector("nav a")?.focus();
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".oc-sidebar, [data-menu]")) setOpen(false);
    for (const menu of document.querySelectorAll("details[data-dismiss][open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (sidebar?.classList.contains("oc-open")) {
      setOpen(false);
      opener.focus();
    }
    for (const menu of document.querySelectorAll("details[data-dismiss][open]")) {
      menu.open = false;
      menu.querySelector("summary")?.focus();
    }
  });
});
