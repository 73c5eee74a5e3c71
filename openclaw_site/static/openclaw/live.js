// Live pages: a WebSocket tells that something changed, and htmx fetches the part of the page that shows it.
// <div data-live="/ws/…/" hx-get="…" hx-trigger="changed, every 3s [polling()]">. Without a socket the page polls.
"use strict";

for (const part of document.querySelectorAll("[data-live]")) {
  const state = document.getElementById(part.dataset.liveState);
  let socket;
  let connected = false;
  let tries = 0;
  let pending = false;
  const say = (text) => { if (state) state.textContent = text; };
  const changed = () => {
    if (pending) return;
    pending = true;
    setTimeout(() => {
      pending = false;
      htmx.trigger(part, "changed");
    }, 250);
  };
  const connect = () => {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}${part.dataset.live}`);
    socket.addEventListener("open", () => {
      connected = true;
      tries = 0;
      say(part.dataset.textLive);
      changed();
    });
    socket.addEventListener("message", changed);
    socket.addEventListener("close", () => {
      connected = false;
      say(part.dataset.textPolling);
      tries += 1;
      setTimeout(connect, Math.min(30000, 1000 * 2 ** tries));
    });
  };
  connect();
  setInterval(() => { if (!connected && !document.hidden) changed(); }, 3000);
  window.addEventListener("pagehide", () => socket?.close());
}
