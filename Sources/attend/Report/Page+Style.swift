extension Page {
  /// What all pages look like. Colours of lines have a contrast of 4.5 or more with the background, in light and in dark.
  static let style = """
    :root {
      --page: #ffffff; --panel: #f6f7f9; --ink: #16181d; --faint: #555b66; --rule: #d5d9e0; --alert: #a3180f;
      --s0: #0a5fc2; --s1: #b3470a; --s2: #147a3c; --s3: #8333c9; --s4: #b0124a; --s5: #5b5347;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --page: #14161a; --panel: #1d2026; --ink: #e8eaee; --faint: #a7aebb; --rule: #3a3f49; --alert: #ff9a8f;
        --s0: #74b4ff; --s1: #ff9f5f; --s2: #62d28c; --s3: #cba3ff; --s4: #ff8fb1; --s5: #cfc5b5;
      }
    }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
    main { max-width: 72rem; margin: 0 auto; padding: 1rem; }
    h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0 1rem; }
    h2 { font-size: 1.2rem; margin: 2rem 0 .75rem; }
    h3 { font-size: 1rem; margin: 0; }
    .summary, .warnings { padding-left: 1.2rem; overflow-wrap: anywhere; }
    .warnings { color: var(--alert); font-weight: 600; }
    .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1rem; }
    .chart { margin: 0; padding: .75rem; background: var(--panel); border: 1px solid var(--rule); border-radius: 8px; }
    .chart svg:not(.swatch) { display: block; width: 100%; height: auto; }
    .unit, .readout { margin: 0; color: var(--faint); font-size: .85rem; }
    .readout { min-height: 1.5em; }
    .legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; list-style: none; margin: .35rem 0; padding: 0; }
    .legend { font-size: .85rem; }
    .swatch { width: 28px; height: 12px; margin-right: .4rem; vertical-align: -1px; }
    .tick { fill: var(--faint); font-size: 12.5px; }
    .end { text-anchor: end; }
    .middle { text-anchor: middle; }
    .grid { stroke: var(--rule); fill: none; }
    .line { stroke: currentColor; stroke-width: 2; fill: none; }
    .mark { fill: currentColor; stroke: var(--panel); stroke-width: 1; }
    .point.near .mark { stroke: var(--ink); stroke-width: 2; }
    .s0 { color: var(--s0); } .s1 { color: var(--s1); } .s2 { color: var(--s2); }
    .s3 { color: var(--s3); } .s4 { color: var(--s4); } .s5 { color: var(--s5); }
    .s1 .line, .s1.swatch .line { stroke-dasharray: 7 3; }
    .s2 .line, .s2.swatch .line { stroke-dasharray: 2 3; }
    .s3 .line, .s3.swatch .line { stroke-dasharray: 9 3 2 3; }
    .s5 .line, .s5.swatch .line { stroke-dasharray: 4 4; }
    .scroll { overflow-x: auto; border: 1px solid var(--rule); border-radius: 8px; }
    .scroll:focus-visible, pre:focus-visible { outline: 3px solid var(--s0); outline-offset: 2px; }
    table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
    th, td { padding: .4rem .6rem; text-align: left; white-space: nowrap; border-bottom: 1px solid var(--rule); }
    tbody tr:last-child > * { border-bottom: 0; }
    thead th { background: var(--panel); }
    tbody th { font-weight: 500; }
    .number { text-align: right; }
    dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; margin: 0 0 1rem; }
    dt { color: var(--faint); }
    dd { margin: 0; overflow-wrap: anywhere; }
    pre { padding: .75rem; background: var(--panel); border: 1px solid var(--rule); border-radius: 8px; }
    pre { white-space: pre-wrap; overflow-wrap: anywhere; }
    @media (max-width: 30rem) { .tick { font-size: 15px; } }
    @media (max-width: 30rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } }
    """
}

extension BenchReport {
  /// Shows the point nearest to the pointer below its chart. Without it the points have tooltips of their own.
  static let script = """
    for (const chart of document.querySelectorAll('.chart')) {
      const readout = chart.querySelector('.readout');
      const points = [...chart.querySelectorAll('.point')];
      const drawing = chart.querySelector('svg[role=img]');
      const show = (event) => {
        const distance = (point) => {
          const box = point.getBoundingClientRect();
          return Math.hypot(box.x + box.width / 2 - event.clientX, box.y + box.height / 2 - event.clientY);
        };
        const nearest = points.reduce((best, point) => distance(best) > distance(point) ? point : best);
        for (const point of points) point.classList.toggle('near', point === nearest);
        readout.textContent = nearest.dataset.label;
      };
      readout.textContent = 'Point at the lines for their numbers.';
      drawing.addEventListener('pointermove', show);
      drawing.addEventListener('pointerdown', show);
    }
    """
}
