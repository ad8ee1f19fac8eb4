# SPDX-License-Identifier: Apache-2.0
"""From samples to ratios, verdicts, a table and plots.

A ratio is the median of the ratios of each round, not the ratio of two medians:
the targets of one round ran within seconds of each other, the rounds did not.
"""

import statistics
import xml.sax.saxutils

REACHED, BELOW, UNJUDGED, MISSING = "REACHED", "BELOW", "", "no figure"
NO_CELL = {"median": None, "to": {}}


def ratio(samples, base):
    pairs = [a / b for a, b in zip(samples, base) if a and b]
    return statistics.median(pairs) if pairs else None


def summarise(samples, workloads, targets, transports):
    """samples[workload][target] is a list of speeds, one a round, None where it failed."""
    rows = []
    for w in workloads:
        by_target = samples.get(w["id"], {})
        row = {"id": w["id"], "title": w["title"], "group": w["group"], "unit": w["unit"],
               "targets": {}}
        for t in targets:
            got = by_target.get(t, [])
            good = [s for s in got if s]
            cell = {"runs": got, "median": statistics.median(good) if good else None,
                    "failed": len(got) - len(good), "to": {}}
            for base in targets:
                if base != t:
                    cell["to"][base] = ratio(got, by_target.get(base, []))
            if t in transports:
                cell["floors"], cell["verdict"] = judge(w, cell, transports[t], targets)
            row["targets"][t] = cell
        rows.append(row)
    return rows


def judge(workload, cell, transport, targets):
    floors = dict(workload.get("floor", {}))
    if transport == "io_uring":
        floors.update(workload.get("io_uring", {}))
    floors = {base: f for base, f in floors.items() if base in targets}
    if cell["failed"] or cell["median"] is None:
        return floors, MISSING
    if not floors:
        return floors, UNJUDGED
    reached = all(cell["to"][base] is not None and cell["to"][base] >= f
                  for base, f in floors.items())
    return floors, REACHED if reached else BELOW


def judge_idle(figures, floor):
    """After work the memory may hold caches, up to memory-limit: reported, not judged."""
    ok = figures["settled"] and figures["cpu_ticks"] <= floor["cpu_ticks"]
    if figures["when"] == "fresh":
        ok = ok and figures["resident_mib"] < floor["resident_mib"]
    return REACHED if ok else BELOW


def judge_count(figures, floor):
    if not figures:
        return MISSING
    ok = (all(figures[k] >= n for k, n in floor.get("least", {}).items()) and
          all(figures[k] <= n for k, n in floor.get("most", {}).items()))
    return REACHED if ok else BELOW


def count_text(figures):
    """In short what was counted."""
    if not figures:
        return "no figure"
    if "in_flight" in figures:
        return "%d in flight, %d requests for %d reads, %.2f of the object" % (
            figures["in_flight"], figures["requests"], figures["reads"],
            figures["downloaded_share"])
    if "parts_uploaded" in figures:
        return "%d parts uploaded (%.0f MiB), %.0f MiB downloaded, %.2f s" % (
            figures["parts_uploaded"], figures["uploaded_bytes"] / 2**20,
            figures["downloaded_bytes"] / 2**20, figures["seconds"])
    return "at most %.0f MiB resident, %.1f s" % (figures["peak_mib"], figures["seconds"])


def speed(value, unit):
    if value is None:
        return "-"
    if unit == "bytes/s":
        return "%.2f GB/s" % (value / 1e9)
    if unit == "1/s":
        return "%.2f s" % (1 / value) if value < 20 else "%.2f ms" % (1e3 / value)
    if value >= 1e6:
        return "%.2f M/s" % (value / 1e6)
    return "%.1f k/s" % (value / 1e3)


def table(rows, targets, idle, counts=()):
    """Plain text: speed, then in brackets the ratio to native, passthrough_hp, raw."""
    lines = ["%-36s" % "work" + "".join("%-30s" % t for t in targets)]
    lines.append("-" * len(lines[0]))
    verdicts = []
    for row in rows:
        line = "%-36s" % row["title"]
        for t in targets:
            cell = row["targets"].get(t, NO_CELL)
            ratios = ["%s %.2f" % (short, cell["to"][base])
                      for base, short in (("native", "n"), ("passthrough_hp", "hp"), ("raw", "raw"))
                      if cell["to"].get(base) is not None]
            text = speed(cell["median"], row["unit"])
            line += "%-30s" % (text + (" (%s)" % ", ".join(ratios) if ratios else ""))
            if cell.get("verdict"):
                verdicts.append((row["title"], t, cell))
        lines.append(line.rstrip())
    lines += ["", "floors"]
    for title, t, cell in verdicts:
        wanted = ", ".join("%s %.2f of %.2f" % (base, cell["to"].get(base) or 0, floor)
                           for base, floor in cell["floors"].items())
        lines.append("%-10s %-36s %-14s %s" % (cell["verdict"], title, t, wanted))
    below = ["%s on %s" % (title, t) for title, t, cell in verdicts if cell["verdict"] != REACHED]
    for name, figures in idle.items():
        lines.append("%-10s %-36s %-14s %d ticks in %d s, %.1f MiB resident%s" % (
            figures["verdict"], "idle daemon, " + figures["when"], name.partition(" ")[0],
            figures["cpu_ticks"], figures["seconds"], figures["resident_mib"],
            "" if figures["settled"] else ", never settled"))
        if figures["verdict"] != REACHED:
            below.append("idle daemon on " + name)
    for c in counts:
        lines.append("%-10s %-36s %-14s %s" % (
            c["verdict"], c["title"], c["target"], count_text(c["figures"])))
        if c["verdict"] and c["verdict"] != REACHED:
            below.append("%s on %s" % (c["title"], c["target"]))
    judged = len(verdicts) + len(idle) + sum(bool(c["verdict"]) for c in counts)
    lines += ["", "%d of %d floors reached%s" % (
        judged - len(below), judged, "; missed: " + ", ".join(below) if below else "")]
    return "\n".join(lines) + "\n"


def markdown(rows, targets, idle, kernel, cpus):
    """For the README: what has a floor, as a share of native; bold where a floor is missed."""
    ours = [t for t in targets if t.startswith("f3")]
    others = [t for t in targets if t == "passthrough_hp"]
    heads = ["work", "native"] + others
    for t in ours:
        heads += [t, "floor"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows:
        cells = row["targets"]
        if not any(cells[t].get("floors") for t in ours):
            continue
        line = [row["title"], speed(cells.get("native", {}).get("median"), row["unit"])]
        for t in others + ours:
            share = cells[t]["to"].get("native")
            text = "%.2f" % share if share is not None else "-"
            if cells[t].get("verdict") in (BELOW, MISSING):
                text = "**%s**" % text
            line.append(text)
            if t in ours:
                line.append(", ".join("%.2f%s" % (floor, "" if base == "native" else " x hp")
                                      for base, floor in cells[t]["floors"].items()))
        lines.append("| " + " | ".join(line) + " |")
    for name, figures in idle.items():
        if figures["when"] == "fresh":
            lines += ["", "Idle, %s: %d ticks of CPU in %d s, %.0f MiB resident." % (
                name.partition(" ")[0], figures["cpu_ticks"], figures["seconds"],
                figures["resident_mib"])]
    lines += ["", "Shares of native speed, medians of interleaved runs; Linux %s, %d CPUs." % (
        kernel, cpus)]
    return "\n".join(lines) + "\n"


def markdown_s3(rows, targets, counts):
    """For the README: speeds, as a share of raw in brackets; bold where a floor is missed."""
    lines = ["| work | " + " | ".join(targets) + " | floor |", "|---" * (len(targets) + 2) + "|"]
    for row in rows:
        line, floors = [row["title"]], {}
        for t in targets:
            cell = row["targets"].get(t, NO_CELL)
            share = cell["to"].get("raw")
            text = speed(cell["median"], row["unit"]) + (
                " (%.2f)" % share if share is not None else "")
            line.append("**%s**" % text if cell.get("verdict") in (BELOW, MISSING) else text)
            floors.update(cell.get("floors", {}))
        line.append(", ".join("%.2f x %s" % (floor, base) for base, floor in floors.items()))
        lines.append("| " + " | ".join(line) + " |")
    lines += ["", "| counted | by | figures | |", "|---|---|---|---|"]
    for c in counts:
        lines.append("| %s | %s | %s | %s |" % (
            c["title"], c["target"], count_text(c["figures"]), c["verdict"].lower()))
    return "\n".join(lines) + "\n"


COLOURS = ["#3b6ea5", "#d08020", "#8a8a8a", "#5a9a5a", "#9a5a8a", "#4aa0a0"]


def bars(title, rows, targets, base="native"):
    """An SVG of bars: one group a workload, one bar a target, a tick where the floor is."""
    shown = [t for t in targets if t != base]
    bar, gap, left, width = 14, 16, 270, 900
    group = bar * len(shown) + gap
    height = 70 + group * len(rows) + 30
    values = [row["targets"][t]["to"].get(base) or 0 for row in rows for t in shown]
    floors = [row["targets"][t].get("floors", {}).get(base) or 0 for row in rows for t in shown]
    # beyond that bars are cut off; their figures are not
    top = max([1.1] + floors + [min(v, 2.0 if base == "native" else 6.0) for v in values])
    scale = (width - left - 90) / top
    text = xml.sax.saxutils.escape
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
           'font-family="sans-serif" font-size="12">' % (width, height),
           '<rect width="100%" height="100%" fill="white"/>',
           '<text x="10" y="22" font-size="16">%s</text>' % text(title)]
    x = 10
    for i, t in enumerate(shown):
        out.append('<rect x="%d" y="34" width="12" height="12" fill="%s"/>'
                   '<text x="%d" y="45">%s</text>' % (
                       x, COLOURS[i % len(COLOURS)], x + 17, text(t)))
        x += 40 + 8 * len(t)
    out.append('<text x="%d" y="45">| floor</text>' % x)
    y = 60
    for k in range(0, int(top * 10) + 1, 2 if top < 2.5 else 10):
        at = left + k / 10 * scale
        out.append('<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s"/>'
                   '<text x="%.1f" y="%d" text-anchor="middle" fill="#555">%.1f</text>' % (
                       at, y, at, height - 28, "#888" if k == 10 else "#e4e4e4",
                       at, height - 12, k / 10))
    y += 8
    for row in rows:
        out.append('<text x="%d" y="%.1f" text-anchor="end">%s</text>' % (
            left - 8, y + bar * len(shown) / 2 + 4, text(row["title"])))
        for i, t in enumerate(shown):
            cell = row["targets"][t]
            value = cell["to"].get(base)
            if value is None:
                out.append('<text x="%d" y="%.1f" fill="#b00">no figure</text>' % (
                    left + 4, y + 11))
            else:
                w = min(value, top) * scale
                out.append('<rect x="%d" y="%.1f" width="%.1f" height="%d" fill="%s"/>'
                           '<text x="%.1f" y="%.1f" font-size="10">%.2f</text>' % (
                               left, y, w, bar - 2, COLOURS[i % len(COLOURS)],
                               left + w + 4, y + 10, value))
            floor = cell.get("floors", {}).get(base)
            if floor:
                at = left + floor * scale
                out.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#c00" '
                           'stroke-width="2"/>' % (at, y - 1, at, y + bar - 1))
            y += bar
        y += gap
    out.append("</svg>")
    return "\n".join(out) + "\n"
