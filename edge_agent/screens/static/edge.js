// Scans, sounds and the line to the agent. Everything else is done by the server and htmx.
"use strict";
(() => {
  // 1. A scanner that acts as a keyboard: its keys come faster than any person types. They go to POST /scan, never
  //    into a text field. Whatever landed there with the first keys is taken out again.
  const FAST_MS = 50;
  const SLOW_MS = 500; // with no field in focus nothing else can be meant
  const SHORTEST = 4;
  let burst = "";
  let last = 0;
  let field = null;
  let before = "";

  const isText = (element) => element instanceof HTMLInputElement && element.type !== "hidden";

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    const now = event.timeStamp;
    if (now - last > (field || isText(event.target) ? FAST_MS : SLOW_MS)) {
      burst = "";
      field = isText(event.target) ? event.target : null;
      before = field ? field.value : "";
    }
    last = now;
    if (event.key.length === 1) {
      burst += event.key;
      if (!field || burst.length >= SHORTEST) {
        event.preventDefault();
        if (field) field.value = before;
      }
    } else if ((event.key === "Enter" || event.key === "Tab") && burst.length >= SHORTEST) {
      event.preventDefault();
      event.stopPropagation();
      if (field) field.value = before;
      send(burst);
      burst = "";
    }
  }, true);

  // One after the other: of several that come during a request, htmx would keep the last one only.
  const waiting = [];

  function send(code) {
    waiting.push(code);
    if (waiting.length === 1) sendNext();
  }

  function sendNext() {
    const form = document.querySelector("form[data-scan]");
    if (!form) waiting.length = 0;
    if (!waiting.length) return;
    form.elements.code.value = waiting[0];
    htmx.trigger(form, "submit");
  }

  addEventListener("htmx:afterRequest", (event) => {
    if (event.target.matches("form[data-scan]")) {
      waiting.shift();
      sendNext();
    }
    if (event.target.matches("form[data-scan], form[data-typed]")) htmx.trigger(document.body, "refresh");
    if (event.target.matches("form[data-typed]") && event.detail.successful) event.target.reset();
    if (event.target.id === "picture") event.target.reset(); // or the same picture could not be chosen again
  });

  // 2. Verdicts are heard and felt. Three different shapes of sound: rising for done, a tick for counted, two low
  //    ones for refused.
  const TONES = {
    done: [[880, 0, 0.09], [1320, 0.1, 0.14]],
    progress: [[1040, 0, 0.07]],
    repeat: [[620, 0, 0.09], [620, 0.13, 0.09]],
    told: [[780, 0, 0.07]],
    refused: [[220, 0, 0.22], [180, 0.27, 0.34]],
  };
  const SHAKES = { done: [40], progress: [20], repeat: [30, 40, 30], told: [20], refused: [180, 80, 180] };
  let audio = null;

  function sound(name) {
    if (navigator.vibrate && navigator.userActivation && navigator.userActivation.hasBeenActive) {
      navigator.vibrate(SHAKES[name]);
    }
    try {
      audio = audio || new AudioContext();
    } catch {
      return; // no sound device: the card says it all
    }
    if (audio.state === "suspended") audio.resume().catch(() => {});
    for (const [pitch, start, length] of TONES[name]) {
      const tone = audio.createOscillator();
      const volume = audio.createGain();
      const at = audio.currentTime + start;
      tone.type = name === "refused" ? "square" : "sine";
      tone.frequency.value = pitch;
      volume.gain.setValueAtTime(0.0001, at);
      volume.gain.exponentialRampToValueAtTime(name === "refused" ? 0.18 : 0.3, at + 0.015);
      volume.gain.exponentialRampToValueAtTime(0.0001, at + length);
      tone.connect(volume).connect(audio.destination);
      tone.start(at);
      tone.stop(at + length + 0.02);
    }
  }

  const heard = new Map();
  function listen(isFirst) {
    for (const card of document.querySelectorAll("[data-sound]")) {
      const place = (card.closest("[id]") || card).id;
      const mark = card.dataset.sound + card.dataset.number;
      if (heard.get(place) === mark) continue;
      heard.set(place, mark);
      if (!isFirst) sound(card.dataset.sound);
    }
  }

  // 3. The line to the agent: cut off, the page says that it is old; open, it fetches everything anew.
  addEventListener("htmx:sseError", () => { document.getElementById("cut").hidden = false; });
  addEventListener("htmx:sseOpen", () => {
    document.getElementById("cut").hidden = true;
    htmx.trigger(document.body, "refresh"); // what happened before the line was open was not heard
  });
  addEventListener("htmx:sendError", () => { document.getElementById("cut").hidden = false; });

  // 4. What is open stays open when a panel is renewed.
  const open = new Set();
  addEventListener("htmx:beforeSwap", (event) => {
    for (const details of event.target.querySelectorAll("details[id]")) {
      open[details.open ? "add" : "delete"](details.id);
    }
  });
  addEventListener("htmx:afterSwap", () => {
    for (const id of open) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
  });
  addEventListener("htmx:afterSettle", () => listen(false));

  // 5. While a second person is signing, a number is set or a code typed, the panel is not renewed under their fingers.
  addEventListener("htmx:beforeSwap", (event) => {
    const panel = event.target;
    if (panel.id !== "side" && panel.id !== "verdict") return;
    // A new verdict is shown whatever anybody is typing.
    const told = /data-number="(\d+)"/.exec(event.detail.serverResponse);
    const shown = panel.querySelector("[data-number]");
    if ((told ? told[1] : "") !== (shown ? shown.dataset.number : "")) return;
    const isSet = (field) => field.options ? field.selectedIndex > 0 : field.value !== field.defaultValue;
    const signing = [...panel.querySelectorAll(":is(.witness, .pick) :is(input:not([type=hidden]), select)")];
    // What is typed for one line of a sheet is not left on the screen for another one.
    const written = [...panel.querySelectorAll("[data-typed] input")];
    const isKept = (field) => isSet(field) && event.detail.serverResponse.includes(`id="${field.id}"`);
    if (signing.some((field) => isSet(field) || field === document.activeElement) || written.some(isKept)) {
      event.detail.shouldSwap = false;
    }
  });

  // 6. A number that a finger sets.
  addEventListener("click", (event) => {
    const by = event.target.closest("[data-step]");
    if (!by) return;
    const input = by.parentElement.querySelector("[data-count]");
    input[Number(by.dataset.step) > 0 ? "stepUp" : "stepDown"]();
  });

  // 7. Keys on the cabinet's screen.
  let target = null;
  addEventListener("focusin", (event) => { if (isText(event.target)) target = event.target; });
  addEventListener("click", (event) => {
    const key = event.target.closest("[data-key]");
    if (!key) return;
    if (!target || !target.isConnected) target = document.querySelector("#sign-in input[name=person]");
    target.value = key.dataset.key === "delete" ? target.value.slice(0, -1) : target.value + key.dataset.key;
    target.focus();
  });

  // 8. A document camera: what it sees is sent as if a PDA had taken a picture of it.
  const CAMERA = { video: { width: { ideal: 3840 }, height: { ideal: 2160 } }, audio: false };

  const pictures = () => document.querySelector("#picture input[type=file]");

  async function open_camera(dialog) {
    const video = dialog.querySelector("video");
    const trouble = dialog.querySelector("[role=alert]");
    dialog.showModal();
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia(CAMERA);
      trouble.hidden = true;
    } catch {
      trouble.hidden = false;
    }
  }

  function read_camera(dialog) {
    const video = dialog.querySelector("video");
    const input = pictures();
    if (!video.videoWidth) return;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => {
      const files = new DataTransfer();
      files.items.add(new File([blob], "camera.jpg", { type: "image/jpeg" }));
      input.files = files.files;
      dialog.close();
      htmx.trigger(input.form, "change");
    }, "image/jpeg", 0.92);
  }

  addEventListener("click", (event) => {
    const button = event.target.closest("[data-camera]");
    const dialog = document.getElementById("camera");
    if (!button) return;
    const acts = { choose: () => pictures().click(), open: open_camera, read: read_camera, close: () => dialog.close() };
    acts[button.dataset.camera](dialog);
  });

  addEventListener("close", (event) => {
    const video = event.target.id === "camera" && event.target.querySelector("video");
    if (!video || !video.srcObject) return;
    for (const track of video.srcObject.getTracks()) track.stop();
    video.srcObject = null;
  }, true);

  addEventListener("DOMContentLoaded", () => listen(true));
})();
