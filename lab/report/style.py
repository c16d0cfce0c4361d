"""The style sheet of the report's page."""

STYLE = """
:root { --ink: #1f2933; --quiet: #5f6c7b; --line: #d9e0e7; --good: #1a7f37; --bad: #b42318; --paper: #fff; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f6f8; color: var(--ink);
  font: 15px/1.5 system-ui, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 16px; }
header, section { background: var(--paper); border: 1px solid var(--line); border-radius: 8px;
  padding: 16px 20px; margin-bottom: 16px; }
h1 { margin: 0; font-size: 1.6rem; overflow-wrap: anywhere; }
h2 { margin: 0 0 8px; font-size: 1.15rem; }
h3 { margin: 12px 0 4px; font-size: 1rem; }
p { margin: 6px 0; }
ul { margin: 6px 0; padding-left: 20px; }
.quiet { color: var(--quiet); font-size: .9em; }
.hint { border-left: 3px solid #e0a800; padding-left: 8px; }
ul.bad, p.bad { color: var(--bad); }
.pill { display: inline-block; padding: 1px 10px; border-radius: 999px; font-size: .85em; white-space: nowrap;
  border: 1px solid var(--line); }
.pill.good { color: var(--good); background: #e6f4ea; border-color: #b7dfc3; }
.pill.bad { color: var(--bad); background: #fdecea; border-color: #f5c2bd; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 5px 10px 5px 0;
  border-bottom: 1px solid var(--line); }
th { color: var(--quiet); font-weight: 600; font-size: .85em; }
pre { margin: 6px 0; padding: 8px 10px; background: #f4f6f8; border-radius: 6px; overflow-x: auto;
  font-size: .85em; }
summary { cursor: pointer; padding: 4px 0; font-weight: 600; }
.picture { margin: 0; overflow-x: auto; text-align: center; }
.picture svg { max-width: 100%; height: auto; max-height: 80vh; }
.matrix { width: auto; }
.matrix th, .matrix td { padding: 0; border: 1px solid var(--line); }
.matrix th[scope=row] { padding: 0 8px; text-align: right; white-space: nowrap; }
.matrix th[scope=col] { vertical-align: bottom; }
.matrix th[scope=col] span { writing-mode: vertical-rl; transform: rotate(180deg); padding: 6px 2px; }
td.cell { width: 24px; min-width: 24px; height: 24px; text-align: center; }
.cell.yes { color: var(--good); background: #e6f4ea; }
.cell.held { color: var(--quiet); background: #eef1f4; }
.cell.no { color: var(--bad); background: #fdecea; font-weight: 700; }
@media (max-width: 600px) {
  main { padding: 8px; }
  header, section { padding: 12px; }
  .picture svg { min-width: 520px; }
  .stacked, .stacked tbody, .stacked tr, .stacked td { display: block; }
  .stacked th { display: none; }
  .stacked td { border: none; padding: 2px 0; overflow-wrap: anywhere; }
  .stacked tr { border-bottom: 1px solid var(--line); padding: 6px 0; }
}
@media print { body { background: none; } header, section { break-inside: avoid; border: none; } }
"""
