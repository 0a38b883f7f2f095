// A number that is written, or a slider that is moved, is also the way to say how many. Without scripts one ticks it oneself.
document.addEventListener("input", (event) => {
  const line = event.target.closest?.("label.line");
  const radio = line?.querySelector("input[type=radio][name=size_level]");
  if (radio && radio !== event.target) radio.checked = true;
  const output = line?.querySelector("output");
  if (output && event.target.type === "range") {
    const share = 10 ** (-3 + (3 * event.target.value) / event.target.dataset.steps);
    output.value = `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}%`;
  }
}, true);
