"use strict";
// The page works without this script. With it, the page refreshes itself, searches while
// somebody types, and opens tasks without loading everything again.
(() => {
  const parts = ["cards", "severities", "found", "tasks"];
  const form = document.querySelector(".filters");
  if (!form) return;
  let latest = 0;

  // show fetches an address and shows what has changed of the page.
  async function show(address) {
    const mine = ++latest;
    const answer = await fetch(address, {headers: {Accept: "text/html"}});
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (mine !== latest) return; // somebody has gone on
    const focused = document.activeElement?.id;
    for (const id of parts) {
      const fresh = page.getElementById(id), old = document.getElementById(id);
      if (fresh && old && fresh.innerHTML !== old.innerHTML) old.replaceChildren(...fresh.childNodes);
    }
    if (focused) document.getElementById(focused)?.focus();
    soon();
  }
  const quietly = (address) => show(address).catch(() => {}); // the next refresh tries again

  // An OMS that is slow may have been listed in a moment.
  const soon = () => {
    if (document.querySelector(".pending")) setTimeout(() => quietly(location.href), 2000);
  };
  soon();

  let typing;
  function search() {
    const wanted = new URLSearchParams();
    for (const [key, value] of new FormData(form)) if (value) wanted.set(key, value);
    history.replaceState(null, "", "?" + wanted);
    quietly(location.href);
  }
  form.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(search, 250); });
  form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(typing); search(); });

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.(".task .name > a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    history.pushState(null, "", link.getAttribute("href"));
    quietly(location.href);
  });
  addEventListener("popstate", () => quietly(location.href));

  setInterval(() => {
    const reading = String(getSelection?.() ?? "") !== "";
    if (document.visibilityState === "visible" && !reading) quietly(location.href);
  }, 15000);
})();
