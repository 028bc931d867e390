// The browser's side of recorder.py: the samples as the device gives them, sent to the kernel as a WAV.

const BYTES = 9e6; // of one message: Jupyter drops the connection over a message of more than 10 MiB
const FILE = "or choose a file below.";
const PROBLEMS = {
  insecure: `No microphone: this page is not secure. Open it at http://localhost or by https, ${FILE}`,
  editor: `No microphone: this editor keeps it from notebooks, as VS Code does. Open the notebook in JupyterLab, ${FILE}`,
  NotAllowedError: `The microphone is blocked. Allow it beside the page's address and press Record again, ${FILE}`,
  NotFoundError: `No microphone found. Connect one and press Record again, ${FILE}`,
  NotReadableError: `The microphone cannot be opened. Close other programs that use it and press Record again, ${FILE}`,
  silence: "Nothing but silence was recorded. Unmute the microphone and press Record again.",
  nothing: "Nothing was recorded. Press Record, speak, then press Stop.",
};
// In the thread of the sound: it hands on what it hears, mixed to one channel.
const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process([[samples]]) {
    if (samples) this.port.postMessage(samples);
    return true;
  }
});`;
const STYLE = "display: flex; align-items: center; gap: 0.75em; flex-wrap: wrap; margin: 0.25em 0";

/** What keeps this page from the microphone whatever its reader allows; undefined if nothing does. */
function obstacle() {
  if (!window.isSecureContext || !navigator.mediaDevices) return "insecure";
  const policy = document.permissionsPolicy ?? document.featurePolicy;
  return policy && !policy.allowsFeature("microphone") ? "editor" : undefined;
}

/** Let `hear` have every block of samples from now on; gives their rate and what ends it. */
async function listen(constraints, hear, ended) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: constraints });
  const context = new AudioContext(); // at the device's rate: Firefox connects no other
  const close = () => {
    stream.getTracks().forEach((track) => track.stop());
    return context.close();
  };
  try {
    const url = URL.createObjectURL(new Blob([TAP], { type: "text/javascript" }));
    await context.audioWorklet.addModule(url).finally(() => URL.revokeObjectURL(url));
    const tap = new AudioWorkletNode(context, "tap", { channelCount: 1, channelCountMode: "explicit" });
    tap.port.onmessage = ({ data }) => hear(data);
    stream.getTracks().forEach((track) => track.addEventListener("ended", ended)); // unplugged
    context.createMediaStreamSource(stream).connect(tap).connect(context.destination); // which stays silent
    await context.resume();
  } catch (problem) {
    close();
    throw problem;
  }
  return { rate: context.sampleRate, close };
}

/** Samples between -1 and 1 as a WAV: 44 bytes of header, then 16-bit integers. */
function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, word) => [...word].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of what describes the format
  view.setUint16(20, 1, true); // integers
  view.setUint16(22, 1, true); // one channel
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a frame
  view.setUint16(34, 16, true); // bits a sample
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((x, i) => view.setInt16(44 + 2 * i, Math.max(-32768, Math.min(32767, Math.round(x * 32768))), true));
  return view;
}

function render({ model, el }) {
  const longest = model.get("seconds");
  el.innerHTML = `<div style="${STYLE}">
    <button type="button" class="jupyter-button widget-button"></button>
    <meter aria-label="level" min="0" max="1" low="0.02" high="0.95" optimum="0.5"></meter>
    <span role="timer"></span><span role="status"></span></div>`;
  const [button, meter, timer, status] = el.firstElementChild.children;
  let blocks, frames, open, removed;

  function show(label, text) {
    button.textContent = label;
    button.disabled = !label.startsWith("●") && !label.startsWith("■");
    meter.hidden = timer.hidden = !label.startsWith("■");
    if (text !== undefined) status.textContent = text;
  }

  function hear(samples) {
    if (!open) return;
    blocks.push(samples);
    frames += samples.length;
    meter.value = Math.max(samples.reduce((peak, x) => Math.max(peak, Math.abs(x)), 0), 0.99 * meter.value);
    timer.textContent = `${(frames / open.rate).toFixed(1)} of ${longest} s`;
    if (frames >= limit(open.rate)) stop();
  }

  const limit = (rate) => Math.floor(Math.min(longest * rate, BYTES / 2));

  async function start() {
    show("Record", "Waiting for the microphone: allow it if the browser asks.");
    try {
      const kept = obstacle();
      if (kept) throw { name: kept };
      [blocks, frames] = [[], 0];
      open = await listen(model.get("microphone"), hear, stop);
      if (removed) return open.close();
      show("■ Stop", "Recording.");
    } catch (problem) {
      show("● Record", PROBLEMS[problem.name] ?? `The microphone failed (${problem.message || problem.name}): ${FILE.slice(3)}`);
    }
  }

  function stop() {
    if (!open) return;
    const rate = open.rate;
    open.close();
    open = undefined;
    const samples = new Float32Array(frames);
    blocks.reduce((at, block) => (samples.set(block, at), at + block.length), 0);
    const heard = samples.subarray(0, limit(rate));
    if (!heard.some((x) => x)) return show("● Record", PROBLEMS[frames ? "silence" : "nothing"]);
    model.send("recording", undefined, [wav(heard, rate)]);
    show("● Record", `Recorded ${(heard.length / rate).toFixed(1)} s. The answer stands below; else run this cell again.`);
  }

  button.addEventListener("click", () => (open ? stop() : start()));
  show("● Record", `At most ${longest} s. The sound goes to this notebook's kernel alone and is written to no file.`);
  return () => {
    removed = true;
    open?.close();
  };
}

export default { render };
