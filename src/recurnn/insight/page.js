"use strict";
(() => {
  const plots = [...document.querySelectorAll(".plot")];
  const small = window.matchMedia("(max-width: 40rem)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // The words, axes and hover boxes of a figure in the colours of the page.
  function theme(printing) {
    const ink = printing ? "#111111" : colour("--ink");
    const panel = printing ? "#ffffff" : colour("--panel");
    return {
      "font.color": ink,
      "hoverlabel.bgcolor": panel,
      "hoverlabel.font.color": ink,
      "hoverlabel.bordercolor": colour("--line"),
    };
  }

  function draw(plot) {
    if (plot.dataset.drawn) return Promise.resolve();
    plot.dataset.drawn = "yes";
    const figure = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
    const layout = figure.layout;
    layout.dragmode = coarse ? false : "zoom"; // on a touch screen a finger scrolls the page
    layout.font = { ...layout.font, color: colour("--ink"), size: small.matches ? 11 : 13 };
    layout.hoverlabel = {
      ...layout.hoverlabel,
      bgcolor: colour("--panel"), bordercolor: colour("--line"), font: { color: colour("--ink") },
    };
    if (small.matches) {
      layout.margin = { ...layout.margin, l: 46, r: 6 };
      for (const trace of figure.data) if (trace.colorbar) trace.colorbar.thickness = 6;
    }
    const options = { responsive: true, displaylogo: false, displayModeBar: coarse ? false : "hover" };
    return Plotly.newPlot(plot, figure.data, layout, options);
  }

  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) { near.unobserve(entry.target); draw(entry.target); }
    }
  }, { rootMargin: "600px" });
  plots.forEach((plot) => near.observe(plot));

  const drawn = () => plots.filter((plot) => plot.dataset.drawn);
  dark.addEventListener("change", () => drawn().forEach((p) => Plotly.relayout(p, theme(false))));
  window.addEventListener("beforeprint", () => {
    plots.forEach((plot) => { near.unobserve(plot); draw(plot); });
    drawn().forEach((p) => Plotly.relayout(p, { ...theme(true), width: 680 }));
  });
  window.addEventListener("afterprint", () => {
    drawn().forEach((p) => Plotly.relayout(p, { ...theme(false), width: null, autosize: true }));
  });
})();
