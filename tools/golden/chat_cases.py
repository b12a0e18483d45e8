"""The cases of make_chat.py: (name, template, context). All written for this test."""

U = [{"role": "user", "content": "Was it serious?"}]
SU = [{"role": "system", "content": "You are a careful nurse."}] + U
LONG = SU + [{"role": "assistant", "content": "  Yes.  "}, {"role": "user", "content": "Why?\n폐렴 <b>&"}]
TOOL = {"type": "function", "function": {"name": "dose", "description": "Look up a dose",
        "parameters": {"type": "object", "properties": {"drug": {"type": "string"}},
                       "required": ["drug"]}}}
CALLS = LONG + [{"role": "assistant", "content": "", "tool_calls": [
    {"id": "call00001", "type": "function",
     "function": {"name": "dose", "arguments": {"drug": "Aspirin", "mg": 81.0}}}]},
    {"role": "tool", "content": "81 mg", "tool_call_id": "call00001"}]
V = {"a": 1, "b": 2.5, "t": True, "f": False, "n": None, "s": "Héllo wörld", "e": "", "k": "폐렴 환자",
     "l": [3, 1, 2], "w": ["pear", "Apple", "fig"], "d": {"x": 1, "y": [1, 2], "z": {"q": "r"}},
     "rows": [{"name": "B", "n": 2, "ok": True}, {"name": "a", "n": 1, "ok": False},
              {"name": "C", "n": 2, "ok": True}, {"n": 0}]}

CASES = []


def add(group, *templates, context=None):
    for i, t in enumerate(templates):
        CASES.append((f"{group}-{i + 1}", t, V if context is None else context))


add("print", "{{ a }}|{{ b }}|{{ t }}|{{ f }}|{{ n }}|{{ s }}|{{ e }}|{{ missing }}|{{ d.nope }}|",
    "{{ l }}|{{ w }}|{{ d }}|{{ (1,) }}|{{ () }}|{{ (1, 'a') }}|{{ [] }}|{{ {} }}|{{ [none, true, 1.0] }}",
    "{{ ['it\\'s', 'say \"x\"', 'both \\' \"', 'tab\\t', 'line\\n', 'é', '폐', '\\x01', '\\u200b', '\\\\'] }}",
    "{{ 1.0 }}|{{ 0.1 }}|{{ 1e16 }}|{{ 1e15 }}|{{ 123456789012345678.0 }}|{{ 1e-5 }}|{{ 0.0001 }}|{{ 2.5e-7 }}",
    "{{ 1/3 }}|{{ 2/3 }}|{{ 100.0 }}|{{ 5e-324 }}|{{ 1.7976931348623157e308 }}|{{ -0.0 }}|{{ 1e22 }}|{{ 3.14 }}",
    "{{ 1_000 }}|{{ 0x1F }}|{{ 0b101 }}|{{ 0o17 }}|{{ 1_0.5_0 }}|{{ 00 }}|{{ 9223372036854775807 }}",
    "{{ range(3) }}|{{ range(1, 7, 2) }}|{{ range(0) }}|{{ range(5)[1:3] }}|{{ range(10)[::-3]|list }}",
    "{{ d.items() }}|{{ d.keys() }}|{{ d.values() }}",
    "{{ 'a' 'b' \"c\" }}|{{ 'x' ~ 1 ~ none ~ true ~ 1.5 ~ missing ~ [1] }}")

add("int", "{{ 7 // 2 }}|{{ -7 // 2 }}|{{ 7 // -2 }}|{{ -7 // -2 }}|{{ 6 // 3 }}|{{ -6 // 3 }}",
    "{{ 7 % 3 }}|{{ -7 % 3 }}|{{ 7 % -3 }}|{{ -7 % -3 }}|{{ 6 % 3 }}|{{ 0 % 5 }}|{{ true % 2 }}",
    "{{ 7 / 2 }}|{{ 6 / 3 }}|{{ 2 ** 10 }}|{{ 2 ** -1 }}|{{ 2 ** 0 }}|{{ (-1) ** 3 }}|{{ -2 ** 2 }}|{{ 2 ** 3 ** 2 }}",
    "{{ 1 + 2 * 3 - 4 }}|{{ (1 + 2) * 3 }}|{{ 2 - 3 - 4 }}|{{ 100 // 7 // 2 }}|{{ 1 + true }}|{{ -(-3) }}|{{ +4 }}",
    "{{ 7.5 // 2 }}|{{ -7.5 // 2 }}|{{ 7.5 % 2 }}|{{ -7.5 % 2 }}|{{ 7.5 % -2 }}|{{ 1.0 // 0.1 }}|{{ 1.0 % 0.1 }}|{{ -0.0 // 1 }}",
    "{{ 2 ** 0.5 }}|{{ 1.5 * 2 }}|{{ 1.5 + 1 }}|{{ 3 - 0.5 }}|{{ 0.1 + 0.2 }}",
    "{{ 9223372036854775807 - 1 }}|{{ -9223372036854775807 }}|{{ 4611686018427387904 * -2 }}",
    "{{ 1 // 0 }}", "{{ 1 % 0 }}", "{{ 1.0 / 0 }}", "{{ 'a' + 1 }}", "{{ 1 + 'a' }}", "{{ none + 1 }}",
    "{{ missing + 1 }}", "{{ -'a' }}", "{{ [1] + (2,) }}", "{{ [1] - [1] }}", "{{ 0 ** -1 }}", "{{ 2.0 % 0 }}")

add("repeat", "{{ 'ab' * 3 }}|{{ 3 * 'ab' }}|{{ 'ab' * 0 }}|{{ 'ab' * -1 }}|{{ [1, 2] * 2 }}|{{ (1,) * 3 }}",
    "{{ [1] + [2, 3] }}|{{ (1,) + (2,) }}|{{ 'a' + 'b' }}")

add("compare", "{{ 1 == 1.0 }}|{{ 1 == true }}|{{ '1' == 1 }}|{{ none == false }}|{{ [1, 2] == [1, 2] }}|{{ [1] == (1,) }}",
    "{{ 1 < 2 }}|{{ 2 <= 2.0 }}|{{ 'a' < 'b' }}|{{ 'B' < 'a' }}|{{ [1, 2] < [1, 3] }}|{{ (1,) < (1, 2) }}|{{ 'é' > 'z' }}",
    "{{ 1 < 2 < 3 }}|{{ 1 < 3 < 2 }}|{{ 3 > 2 > 1 }}|{{ 1 == 1 != 2 }}|{{ 1 < 2 in [2] }}",
    "{{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }}|{{ {'a': 1} == {'a': 2} }}|{{ missing == nope }}|{{ missing == none }}",
    "{{ 'a' in 'cat' }}|{{ 'x' in 'cat' }}|{{ 1 in l }}|{{ 5 not in l }}|{{ 'x' in d }}|{{ 1 in d }}|{{ 1.0 in l }}|{{ 'a' in missing }}",
    "{{ 'a' in d.items() }}|{{ 'x' in d.keys() }}|{{ 1 in d.values() }}|{{ [1, 2] in d.values() }}|{{ 2 in range(3) }}",
    "{{ 1 < 'a' }}", "{{ none < 1 }}", "{{ 1 in 'a' }}", "{{ 1 in 5 }}", "{{ missing < 1 }}", "{{ d < d }}",
    "{{ 1 in none }}", "{{ [1] in d }}")

add("logic", "{{ 1 and 2 }}|{{ 0 and 2 }}|{{ 0 or 'x' }}|{{ '' or [] }}|{{ not '' }}|{{ not [0] }}|{{ not missing }}",
    "{{ 'y' if a else 'n' }}|{{ 'y' if missing else 'n' }}|{{ 'y' if f }}|{{ ('y' if f) is defined }}|{{ 1 if f else 2 if f else 3 }}",
    "{{ true and not false or false }}|{{ not a == 2 }}|{{ not 1 in l }}|{{ f or missing or 'last' }}")

add("slice", "{{ s[0] }}|{{ s[1] }}|{{ s[-1] }}|{{ s[:5] }}|{{ s[6:] }}|{{ s[-5:-1] }}|{{ s[::-1] }}|{{ s[1:8:3] }}|{{ s[99:] }}|",
    "{{ k[0] }}|{{ k[1] }}|{{ k[-1] }}|{{ k[:2] }}|{{ k[3:] }}|{{ k[::2] }}|{{ k[::-1] }}|{{ k[2] }}",
    "{{ l[0] }}|{{ l[-1] }}|{{ l[5] }}|{{ l[1:] }}|{{ l[:-1] }}|{{ l[::-1] }}|{{ l[::2] }}|{{ l[-2:] }}|{{ l[5:] }}|{{ l[none:2] }}",
    "{{ (1, 2, 3)[1:] }}|{{ l[true] }}|{{ l['x'] }}|{{ s['x'] }}|{{ d['y'][1] }}|{{ d.y.1 }}|{{ d['z'].q }}|{{ d.z['q'] }}|{{ none['x'] }}|{{ a.b }}",
    "{{ l[1:2:0] }}", "{{ l['a':] }}", "{{ d[1:] }}", "{{ missing[0] }}", "{{ missing[1:] }}", "{{ d.nope.x }}",
    "{{ missing.x }}", "{{ n[1:] }}", "{{ l[:1.5] }}", "{{ l[0.5] }}|{{ s[9999] }}|{{ l[-9] }}|{{ d[[1]] }}",
    "{{ l[3:0:-1] }}|{{ l[-1:-9:-2] }}|{{ s[4:-20:-1] }}|{{ l[0:99] }}|{{ l[-99:1] }}")

add("set", "{% set x = 1 %}{{ x }}{% set x = x + 1 %}{{ x }}", "{% set x, y = 1, 2 %}{{ y }}{{ x }}{% set (p, q) = l[:2] %}{{ p }}{{ q }}",
    "{% set x %}a{{ a }}b{% endset %}[{{ x }}]{{ x|length }}", "{% set x | upper | replace('A', 'z') %}abc{% endset %}{{ x }}",
    "{% set ns = namespace(n=0, s='a') %}{% for i in l %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }}{{ ns.s }}{{ ns.zz }}",
    "{% set ns = namespace({'q': 1}, r=2) %}{{ ns.q }}{{ ns.r }}{{ ns['q'] }}", "{% set ns = namespace() %}{% set ns.a, b = 1, 2 %}{{ ns.a }}{{ b }}",
    "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = i + 10 %}{{ x }}{% endfor %}{{ x }}",
    "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}", "{% set x = 1 %}{% set y %}{% set x = 5 %}{{ x }}{% endset %}{{ x }}{{ y }}",
    "{% set x = 1 %}{% with x = 2, y = x %}{{ x }}{{ y }}{% set z = 3 %}{{ z }}{% endwith %}{{ x }}{{ z }}",
    "{% for i in [1, 2, 3] %}{% if i == 2 %}{% set seen = i %}{% endif %}[{{ seen }}]{% endfor %}{{ seen }}",
    "{% set d.x = 1 %}", "{% set x.y = 1 %}", "{% set ns = namespace() %}{% set ns._a = 1 %}", "{% set a, b = 1 %}",
    "{% set a, b = [1, 2, 3] %}", "{% set true = 1 %}", "{% set x = %}", "{% set 1 = 2 %}", "{% set ns = namespace(_b=1) %}",
    "{% set x = a, b %}{{ x }}{% set (y) = 3 %}{{ y }}")

add("for", "{% for i in l %}{{ i }},{% endfor %}|{% for c in 'añ폐' %}{{ c }}.{% endfor %}|{% for k in d %}{{ k }}{% endfor %}",
    "{% for i in [] %}x{% else %}none{% endfor %}|{% for i in missing %}x{% else %}none{% endfor %}|{% for i in [1] %}{{ i }}{% else %}no{% endfor %}",
    "{% for i in l %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.first }}/{{ loop.last }}/{{ loop.length }};{% endfor %}",
    "{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}|{% for i in l %}{{ loop.previtem is defined }}{% endfor %}",
    "{% for i in [1, 1, 2, 2, 1] %}{{ loop.changed(i) }},{{ loop.cycle('a', 'b') }} {% endfor %}",
    "{% for i in range(6) if i is even %}{{ i }}{{ loop.index }}{{ loop.last }} {% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}|{% for (x, (y, z)) in [[1, [2, 3]]] %}{{ x }}{{ y }}{{ z }}{% endfor %}",
    "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in [1, 2] %}{% continue %}{% else %}else{% endfor %}|{% for i in [1, 2] %}{% break %}{% else %}else{% endfor %}|{% for i in [1, 2] %}{% if i == 2 %}{% break %}{% endif %}{% else %}else{% endfor %}",
    "{% for i in [1, 2] %}{% for j in 'ab' %}{{ loop.index }}{{ i }}{{ j }} {% endfor %}{{ loop.index }}{% endfor %}",
    "{% for x in [[1, [2, [3]]], 4] recursive %}{% if x is iterable %}({{ loop.depth }}{{ loop(x) }}){% else %}{{ x }}@{{ loop.depth0 }}{% endif %}{% endfor %}",
    "{% for i in l %}{% set outer = loop %}{% for j in [1] %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for i in 5 %}{% endfor %}", "{% for i in none %}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for a, b in [[1, 2, 3]] %}{% endfor %}",
    "{% for i in l %}{{ loop(i) }}{% endfor %}", "{% break %}", "{% for i in l %}{{ loop.nope.x }}{% endfor %}",
    "{% for i in l %}{% if i == 1 %}{% set x %}{% break %}{% endset %}{% endif %}{{ i }}{% endfor %}", "{% for i in l | sort %}{{ i }}{% endfor %}",
    "{% for i in 1, 2, 3 %}{{ i }}{% endfor %}", "{% for r in rows if r.ok %}{{ r.name }}{{ loop.length }}{% endfor %}",
    "{{ loop }}|{% for i in [1] if loop is defined %}x{% else %}y{% endfor %}", "{% for i in range(100001) %}{% endfor %}",
    "{% for i in range(0, 10, 0) %}{% endfor %}", "{% for i in range('a') %}{% endfor %}", "{% for i in range(1, 2, 3, 4) %}{% endfor %}")

add("macro", "{% macro m(x, y='d') %}[{{ x }}{{ y }}]{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(y=3, x=4) }}{{ m() }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, k=3) }}{{ m() }}",
    "{% macro m(x) %}{{ x }}{{ varargs|length }}{% endmacro %}{{ m(1, 2, 3) }}", "{% macro m(x) %}{{ y }}{{ x }}{% endmacro %}{% set y = 5 %}{{ m(1) }}",
    "{% macro m(x) %}{% if x > 0 %}{{ x }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(4) }}",
    "{% macro m(x, y=x) %}{{ x }}{{ y }}{% endmacro %}{{ m(2) }}", "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}in{% endcall %}",
    "{% macro m() %}{{ caller(1, b=2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}-{{ b }}{% endcall %}",
    "{% macro m() %}{{ caller is defined }}{{ caller }}{% endmacro %}{{ m() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(*[1]) }}{{ m(**{'a': 2}) }}",
    "{% macro m() %}  a {% endmacro %}{{ m()|trim|length }}{{ m() ~ 'x' }}{{ m() + 'y' }}", "{% macro m() %}{% set x = 9 %}{% endmacro %}{{ m() }}{{ x }}",
    "{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(b=1) }}", "{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}", "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}",
    "{% macro m(a=1, b) %}{% endmacro %}", "{% call 5 %}{% endcall %}", "{{ a() }}", "{{ missing() }}", "{{ d.x() }}", "{% macro m(x) %}{{ x + 1 }}{% endmacro %}{{ m() }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{% macro a() %}{% macro b() %}in{% endmacro %}{{ b() }}{% endmacro %}{{ a() }}{{ b is defined }}",
    "{% macro m(x) %}{{ caller(x) }}{% endmacro %}{% set z = 7 %}{% call(v) m(3) %}{{ v * z }}{% endcall %}", "{{ m is defined }}{% macro m() %}{% endmacro %}{{ m is callable }}")

add("filterblock", "{% filter upper %}abc {{ s }}{% endfilter %}", "{% filter replace('a', 'b')|title %}a cat{% endfilter %}",
    "{% filter trim %}  {% set q = 1 %}{{ q }}  {% endfilter %}[{{ q }}]", "{% filter indent(2, true) %}a\nb{% endfilter %}")

add("generation", "{% for m in [1, 2] %}{% generation %}a{{ m }}{{ loop.index }}{% set z = 1 %}{% endgeneration %}{{ z }}{% endfor %}")

add("case", "{{ s|upper }}|{{ s|lower }}|{{ s|title }}|{{ s|capitalize }}|{{ s.upper() }}|{{ s.title() }}|{{ s.capitalize() }}",
    "{{ 'straße ﬁne ΑΣ ΑΣΑ İ ŉ ǆ'|upper }}|{{ 'STRASSE ΑΣ ΑΣΑ İ'|lower }}|{{ 'ǆ ﬁ ß x'|title }}|{{ 'ﬁx'.capitalize() }}",
    "{{ \"it's o'neil-smith (a [b {c <d\"|title }}|{{ \"it's o'neil-smith (a [b {c <d\".title() }}",
    "{{ 'aBC dEF'|capitalize }}|{{ 1|upper }}|{{ none|lower }}|{{ missing|upper }}|{{ true|title }}|{{ 'привет МИР'|title }}|{{ '1abc 2De'.title() }}")

add("strip", "[{{ '  a b \\n'|trim }}]|[{{ 'xxaxx'|trim('x') }}]|[{{ '  a '.strip() }}]|[{{ ' a '.lstrip() }}]|[{{ ' a '.rstrip() }}]",
    "[{{ 'abcba'.strip('ab') }}]|[{{ '\\u3000폐\\xa0'.strip() }}]|[{{ '폐a폐'.strip('폐') }}]|[{{ 'a'.strip('') }}]|[{{ '...x..'.lstrip('.') }}]",
    "[{{ 5|trim }}]|[{{ missing|trim }}]|[{{ none|trim }}]|[{{ '   '|trim }}]|[{{ ' a '.strip(none) }}]", "{{ 'a'.strip(1) }}")

add("split", "{{ 'a b  c'.split() }}|{{ 'a,b,,c'.split(',') }}|{{ 'a,b,c'.split(',', 1) }}|{{ ''.split() }}|{{ ''.split(',') }}",
    "{{ ' a  b c '.split(none, 1) }}|{{ ' a  b c '.split(maxsplit=1) }}|{{ 'a--b--c'.rsplit('--', 1) }}|{{ ' a b  c '.rsplit(none, 1) }}|{{ 'a b'.rsplit() }}",
    "{{ 'x<think>y</think>z'.split('</think>')[-1] }}|{{ 'x<think>y</think>z'.split('</think>')[0].split('<think>')[-1] }}|{{ 'aaa'.split('aa') }}|{{ 'aaa'.rsplit('aa') }}",
    "{{ 'a\\nb\\r\\nc\\rd\\x0be\\u2028f'.splitlines() }}|{{ 'a\\n\\nb\\n'.splitlines(true) }}|{{ ''.splitlines() }}",
    "{{ '폐렴 환자'.split(' ') }}|{{ '폐,렴'.split(',') }}|{{ 'a\\u3000b'.split() }}|{{ 'a,b'.split(',', -1) }}|{{ 'a,b'.split(',', 0) }}",
    "{{ 'a'.split('') }}", "{{ 'a'.split(1) }}", "{{ 'a'.split(',', 1, 2) }}", "{{ 'a'.split(x=1) }}")

add("find", "{{ s.startswith('Hé') }}|{{ s.endswith('x') }}|{{ s.startswith(('x', 'H')) }}|{{ s.endswith('') }}|{{ 'a'.startswith('abc') }}",
    "{{ s.find('w') }}|{{ s.find('zz') }}|{{ s.rfind('l') }}|{{ s.index('w') }}|{{ s.count('l') }}|{{ 'aaaa'.count('aa') }}|{{ 'é'.count('') }}|{{ l.index(1) }}|{{ l.count(3) }}",
    "{{ 'abc'.removeprefix('a') }}|{{ 'abc'.removesuffix('c') }}|{{ 'abc'.removeprefix('x') }}|{{ 'abc'.removesuffix('') }}",
    "{{ 'ab1'.isalnum() }}|{{ '12'.isdigit() }}|{{ 'ab'.isalpha() }}|{{ ' '.isspace() }}|{{ ''.isdigit() }}|{{ 'Ab'.isupper() }}|{{ 'AB1'.isupper() }}|{{ 'ab'.islower() }}|{{ '1'.islower() }}",
    "{{ 'a'.index('b') }}", "{{ l.index(9) }}", "{{ s.startswith(1) }}", "{{ s.startswith() }}", "{{ s.nope() }}", "{{ s.nope }}|")

add("replace", "{{ 'aXbX'.replace('X', '-') }}|{{ 'aXbX'.replace('X', '-', 1) }}|{{ 'abc'.replace('', '.') }}|{{ 'aa'.replace('a', '') }}|{{ '폐'.replace('', '_') }}",
    "{{ 'aXbX'|replace('X', '-') }}|{{ 'aXbX'|replace('X', '-', 1) }}|{{ 1010|replace(1, 'x') }}|{{ missing|replace('a', 'b') }}|{{ 'aaa'|replace('a', 'b', count=2) }}|{{ ''|replace('', 'z') }}",
    "{{ 'a'.replace('a') }}", "{{ 'a'|replace('a') }}", "{{ 'a'.replace(1, 'b') }}")

add("join", "{{ l|join }}|{{ l|join(', ') }}|{{ w|join('-') }}|{{ 'abc'|join('.') }}|{{ rows|join(',', attribute='n') }}|{{ missing|join }}|{{ [1, none, true]|join(' ') }}|{{ d|join }}",
    "{{ ', '.join(w) }}|{{ '-'.join('abc') }}|{{ ''.join([]) }}|{{ l|join(1) }}|{{ l|join(d='+') }}", "{{ ','.join([1]) }}", "{{ 5|join }}")

add("length", "{{ s|length }}|{{ k|count }}|{{ l|length }}|{{ d|length }}|{{ missing|length }}|{{ ''|length }}|{{ range(4)|length }}|{{ d.items()|length }}", "{{ 5|length }}", "{{ none|length }}")

add("tojson", "{{ d|tojson }}|{{ k|tojson }}|{{ none|tojson }}|{{ 1.0|tojson }}|{{ '<a href=\"x\">&\\'/\\x7f\\x01\\u2028'|tojson }}|{{ (1, 'a')|tojson }}|{{ []|tojson }}|{{ {}|tojson }}",
    "{{ d|tojson(indent=2) }}|{{ {'a': [], 'b': {}}|tojson(indent=1) }}|{{ [1]|tojson(indent=0) }}|{{ l|tojson(indent='--') }}|{{ l|tojson(none) }}",
    "{{ {2: 1, none: 2, true: 3, 1.5: 4}|tojson }}|{{ {'b': 1, 'a': {'d': 1, 'c': 2}}|tojson(sort_keys=true) }}|{{ l|tojson(separators=(',', ':')) }}|{{ k|tojson(true) }}|{{ '🤗é'|tojson(ensure_ascii=true) }}",
    "{{ 1e400|tojson }}|{{ (0 - 1e400)|tojson }}|{{ '\\b\\f\\n\\r\\t\\\\/'|tojson }}", "{{ missing|tojson }}", "{{ range(3)|tojson }}", "{{ {(1, 2): 3}|tojson }}", "{{ {1: 1, 'a': 2}|tojson(sort_keys=true) }}",
    "{{ l|tojson(nope=1) }}", "{{ d.items()|tojson }}")

add("default", "{{ missing|default('x') }}|{{ n|default('x') }}|{{ n|default('x', true) }}|{{ e|d('x', boolean=true) }}|{{ missing|d }}|{{ 0|default(5) }}|{{ d.zz|default('q') }}", "{{ missing.x|default('y') }}")

add("items", "{{ l|first }}|{{ l|last }}|{{ 'é폐'|first }}|{{ 'é폐'|last }}|{{ []|first }}|{{ []|last is defined }}|{{ d|first }}|{{ missing|first }}",
    "{{ 'añb'|list }}|{{ d|list }}|{{ d|items|list }}|{{ missing|list }}|{{ range(3)|list }}|{{ (1, 2)|list }}|{{ missing|items|list }}",
    "{{ 'añb'|reverse }}|{{ l|reverse|list }}|{{ range(3)|reverse|list }}|{{ d|reverse|list }}", "{{ 5|list }}", "{{ none|first }}", "{{ 5|reverse }}",
    "{{ l|items|list }}")

add("map", "{{ w|map('upper')|list }}|{{ rows|map(attribute='n')|list }}|{{ rows|map(attribute='name', default='?')|list }}|{{ rows|map(attribute='name')|list }}|{{ [[1, [2]]]|map(attribute='1.0')|list }}",
    "{{ [' a ', 'b']|map('trim')|join }}|{{ l|map('string')|list }}|{{ ['a-b']|map('replace', '-', '+')|list }}|{{ [3.7]|map('int')|list }}|{{ [[1], []]|map('length')|list }}|{{ [1, 'x']|map('int', default=7)|list }}",
    "{{ l|map('nope')|list }}", "{{ l|map|list }}", "{{ rows|map(attribute='a.b')|list }}", "{{ l|map(foo='x')|list }}", "{% set m = l|map('string') %}{{ m|join }}|{{ m|join }}|{% if [] | map('upper') %}truthy{% endif %}")

add("select", "{{ l|select('odd')|list }}|{{ l|reject('odd')|list }}|{{ [0, 1, '', 'a', none]|select|list }}|{{ [0, 1]|reject|list }}|{{ l|select('>', 1)|list }}|{{ l|select('in', [1, 2])|list }}|{{ l|reject('eq', 3)|list }}",
    "{{ rows|selectattr('ok')|map(attribute='name')|join }}|{{ rows|selectattr('n', 'equalto', 2)|list|length }}|{{ rows|rejectattr('ok')|list|length }}|{{ rows|rejectattr('name', 'defined')|list }}|{{ rows|selectattr('name', 'undefined')|list }}",
    "{{ (rows|selectattr('n', 'gt', 0)|list)[-1].name }}|{{ rows|selectattr('n', '==', 1)|first }}|{{ rows|selectattr('n', 'lessthan', 1)|map(attribute='n')|sum }}", "{{ l|select('nope')|list }}", "{{ rows|selectattr|list }}", "{{ l|select('gt')|list }}")

add("sort", "{{ l|sort }}|{{ l|sort(true) }}|{{ w|sort }}|{{ w|sort(case_sensitive=true) }}|{{ w|sort(reverse=true) }}|{{ 'bca'|sort }}|{{ d|sort }}|{{ missing|sort }}|{{ []|sort }}",
    "{{ rows[:3]|sort(attribute='name')|map(attribute='name')|join }}|{{ rows|sort(attribute='n')|map(attribute='n')|join }}|{{ rows[:3]|sort(attribute='n,name')|map(attribute='name')|join }}|{{ rows[:3]|sort(attribute='n', reverse=true)|map(attribute='name')|join }}",
    "{{ [2, 1.5, true]|sort }}|{{ [[2, 1], [1, 2]]|sort }}|{{ [none]|sort }}|{{ [(1, 'b'), (1, 'a')]|sort }}|{{ ['é', 'z', 'a']|sort }}", "{{ [1, 'a']|sort }}", "{{ [none, 1]|sort }}", "{{ [{}, {}]|sort }}", "{{ [{'a': 1}, {'a': 2}]|sort }}",
    "{{ {'b': 2, 'A': 3, 'c': 1}|dictsort }}|{{ {'b': 2, 'A': 3}|dictsort(true) }}|{{ {'b': 2, 'a': 3}|dictsort(by='value') }}|{{ {'b': 2, 'a': 3}|dictsort(reverse=true) }}", "{{ d|dictsort(by='nope') }}", "{{ l|dictsort }}")

add("reduce", "{{ l|min }}|{{ l|max }}|{{ w|min }}|{{ w|max }}|{{ []|min }}|{{ rows|max(attribute='n') }}|{{ l|sum }}|{{ rows|sum(attribute='n') }}|{{ l|sum(start=10) }}|{{ []|sum }}|{{ [1.5, 2]|sum }}|{{ w|max(case_sensitive=true) }}",
    "{{ [1, 2, 1, 'a', 'A', 2]|unique|list }}|{{ ['a', 'A']|unique(case_sensitive=true)|list }}|{{ rows|unique(attribute='n')|map(attribute='n')|list }}|{{ 'aab'|unique|list }}|{{ [1, true, 1.0]|unique|list }}",
    "{{ w|sum }}", "{{ [1, 'a']|max }}", "{{ [[1]]|unique|list }}", "{{ [[1], [2]]|sum(start=[]) }}")

add("number", "{{ '5'|int }}|{{ '5.9'|int }}|{{ 'x'|int }}|{{ 'x'|int(7) }}|{{ 5.9|int }}|{{ -5.9|int }}|{{ true|int }}|{{ none|int }}|{{ ' 12 '|int }}|{{ '1_000'|int }}|{{ '1e3'|int }}|{{ []|int }}|{{ '+5'|int }}|{{ '-5'|int }}",
    "{{ '1.5'|float }}|{{ 'x'|float }}|{{ 'x'|float(2.0) }}|{{ 3|float }}|{{ none|float }}|{{ '1e3'|float }}|{{ 'inf'|float }}|{{ ' 2 '|float }}|{{ true|float }}|{{ 'nan'|float }}",
    "{{ -3|abs }}|{{ (-3)|abs }}|{{ -2.5|abs }}|{{ true|abs }}|{{ 2.567|round }}|{{ 2.5|round }}|{{ 3.5|round }}|{{ 2.567|round(2) }}|{{ 2.1|round(method='ceil') }}|{{ 2.9|round(0, 'floor') }}|{{ 5|round }}|{{ 2.345|round(2) }}|{{ 42.55|round(1, 'floor') }}|{{ 5|round(method='floor') }}",
    "{{ 'a'|abs }}", "{{ 'a'|round }}", "{{ missing|int }}", "{{ missing|float }}", "{{ missing|round }}", "{{ 2.5|round(1, 'nope') }}")

add("text", "{{ 1|string }}|{{ none|string }}|{{ missing|string }}|{{ [1, 'a']|string }}|{{ 'x'|string is string }}|{{ true|string }}",
    "{{ 'a\\nb\\n\\nc'|indent }}|{{ 'a\\nb'|indent(2, true) }}|{{ 'a\\n\\nb'|indent(2, blank=true) }}|{{ 'a\\nb'|indent('> ') }}|{{ ''|indent }}|{{ 'a\\nb'|indent(first=true) }}|{{ '\\n'|indent }}",
    "{{ '<b>&\"\\''|escape }}|{{ '<b>'|e }}|{{ '<b>'|safe }}|{{ '<b>'|e|e }}|{{ 5|e }}|{{ '<'|e is escaped }}|{{ '<' is escaped }}|{{ '<b>'|safe|upper }}",
    "{{ '%s-%d-%.2f-%5s|%-5s|%05d|%x|%%' % ('a', 3, 2.5, 'b', 'c', 42, 255) }}|{{ '%s' % 'x' }}|{{ '%r %s' % ('a', none) }}|{{ '%+d %d' % (5, 2.9) }}|{{ '%e %g %g' % (12345.678, 0.0001, 1e10) }}",
    "{{ '%s is %s'|format('a', 5) }}|{{ '%03d'|format(7) }}|{{ 'a{}b{}'.format(1, 'x') }}|{{ '{1}{0}{{}}'.format('a', 'b') }}|{{ '{x}'.format(x=3) }}|{{ '%.3s|%5.1f' % ('폐렴입니다', 2.25) }}|{{ '%-8s|' % '폐렴' }}|{{ '%5d|%-5d|' % (-42, -42) }}|{{ '%06.2f' % -3.14159 }}",
    "{{ '%d' % 'a' }}", "{{ '%s %s' % 'a' }}", "{{ '%s' % ('a', 'b') }}", "{{ '{}{}'.format(1) }}", "{{ 5|indent }}", "{{ 'a'|upper(1) }}", "{{ 'a'|indent(nope=1) }}", "{{ 'a'|trim('a', 'b') }}")

add("test", "{{ a is defined }}|{{ missing is defined }}|{{ missing is undefined }}|{{ a is undefined }}|{{ d.zz is defined }}|{{ n is none }}|{{ n is not none }}|{{ missing is none }}|{{ n is defined }}",
    "{{ s is string }}|{{ a is string }}|{{ a is number }}|{{ b is number }}|{{ t is number }}|{{ a is integer }}|{{ t is integer }}|{{ b is float }}|{{ a is float }}|{{ t is boolean }}|{{ a is boolean }}",
    "{{ d is mapping }}|{{ l is mapping }}|{{ l is iterable }}|{{ s is iterable }}|{{ a is iterable }}|{{ d is iterable }}|{{ l is sequence }}|{{ d is sequence }}|{{ s is sequence }}|{{ a is sequence }}|{{ d.items() is sequence }}|{{ range(2) is sequence }}|{{ missing is iterable }}|{{ missing is sequence }}",
    "{{ t is true }}|{{ 1 is true }}|{{ f is false }}|{{ 0 is false }}|{{ a is odd }}|{{ a is even }}|{{ 4 is even }}|{{ 9 is divisibleby(3) }}|{{ 9 is divisibleby 2 }}",
    "{{ 'ab' is lower }}|{{ 'AB' is upper }}|{{ 'Ab' is upper }}|{{ '12' is lower }}|{{ 5 is upper }}|{{ 'é' is lower }}|{{ 'É' is upper }}",
    "{{ 1 is eq 1 }}|{{ 1 is equalto 2 }}|{{ 1 is ne 2 }}|{{ 2 is gt 1 }}|{{ 2 is ge(2) }}|{{ 1 is lt 2 }}|{{ 1 is le 0 }}|{{ 1 is in [1] }}|{{ 1 is not in [1] }}|{{ 'a' is in 'abc' }}|{{ 3 is greaterthan 2 }}|{{ 3 is lessthan(2) }}",
    "{{ n is sameas none }}|{{ t is sameas true }}|{{ t is sameas 1 }}|{{ l is sameas l }}|{{ range is callable }}|{{ s is callable }}|{{ s.upper is callable }}|{{ not a is defined }}|{{ a is defined and b is defined }}|{{ a is not defined or false }}",
    "{{ a is nope }}", "{{ 'a' is odd }}", "{{ missing is odd }}", "{{ a is defined is defined }}", "{{ 1 is in 5 }}", "{{ a is eq }}", "{{ a is eq(1, 2) }}")

add("dict", "{{ d.get('x') }}|{{ d.get('nope') }}|{{ d.get('nope', 5) }}|{{ d['x'] }}|{{ d.keys()|list }}|{{ d.values()|list }}|{{ d.copy() == d }}|{{ d.items()|list }}",
    "{{ {'a': 1, 'a': 2} }}|{{ {1: 'x', 1.0: 'y', true: 'z'} }}|{{ {'k': {'n': [1]}}.k.n[0] }}|{{ dict(a=1, b='x') }}|{{ dict({'q': 1}, r=2) }}|{{ {'items': 5}.items is callable }}|{{ {'items': 5}['items'] }}|{{ {'a': 1,} }}|{{ [1,] }}",
    "{{ {[1]: 2} }}", "{{ d.get() }}", "{{ d.get([1]) }}", "{{ l.append(4) }}", "{{ d.update({'a': 1}) }}", "{{ d.pop('x') }}", "{{ l.sort() }}")

add("white", "a\n  {% if true %}\n  b\n  {% endif %}\nc", "a\n  {%- if true -%}\n  b\n  {%- endif -%}\nc", "  {%+ if true %}\n x {%+ endif %}\n", "a {{- ' b ' -}} c", "a\n  {{ 'x' }}\n  b\n",
    "{# c #}\n a {#- c -#} b\n  {# c #}\nd", "x {# multi\nline #}\n  y", "{% set x = 1 %}\n{% set y = 2 %}\n{{ x }}\n{{ y }}\n", "a\n\n{% if true %}\n\n b\n\n{% endif %}\n\nc\n\n", "a\r\n{% if true %}\r\nb\r\n{% endif %}\r\nc\rd",
    "\u3000{%- if true -%}\u3000x\xa0{%- endif %}", "{% raw %}{{ not }} {% tags %}{% endraw %}", "a\n  {% raw -%}\n  {{ x }}\n  {%- endraw %}\nb", "  {% raw %}\n x\n  {% endraw %}\n", "{% if true %}{% endif %}\n\nx", "{{ '}}' }}{{ {'a': {'b': 1}}['a']['b'] }}{% if '%}' %}y{% endif %}",
    "\t {% for i in [1, 2] %}\n\t{{ i }}\n\t {% endfor %}\n", "{{ 'a' }}\n{% if true %}\nb{% endif %}", "text only", "", "\n", "a\n", "a\n\n", "{{ 1 }}\n", "{{ '\n' }}x{{ 'a\\\nb' }}", "{%if true%}x{%else%}y{%endif%}", "{%- set x = 5 -%}\n\n {{- x -}} \n", "{#-#}x{# a -#}\n y", "{% if true -%}  x  {%+ else %} y {% endif %}",
    "a\n  {%- raw %} x {% endraw -%}\n b", "{{+ 1 }}|{{- 2 }}", "{ x } {{ '{' }} {a: 1} %} }} #}")

add("escape", "{{ '\\n\\t\\\\\\'\\\"\\x41\\u00e9\\U0001F600\\101\\q' }}", "{{ \"\\a\\b\\f\\v\\r\\0\"|length }}", "{{ '\\x4' }}", "{{ '\\u12' }}", "{{ '\\U00110000' }}", "{{ 'a", "{{ 'a\\' }}", "{{ \"tab\tin\" }}|{{ 'new\nline' }}")

add("syntax", "{% if %}x{% endif %}", "{% if true %}x", "{% for %}{% endfor %}", "{% endif %}", "{% nope %}", "{{ }}", "{{ 1 + }}", "{{ (1 }}", "{{ [1, 2 }}", "{{ {'a' 1} }}", "{{ a b }}", "{{ a | nope }}", "{{ a | }}", "{{ 1 2 }}", "{{ a.1.x }}|", "{{ a. }}", "{% if true %}{% endfor %}{% endif %}",
    "{{ a", "{% if a", "{# never closed", "{% raw %} never closed", "{{ a ! b }}", "{{ a $ }}", "{{ f(a=1, 2) }}", "{{ f(**d, 1) }}", "{% else %}", "{% for i in l %}{% else %}{% else %}{% endfor %}", "{% macro m %}{% endmacro %}", "{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}", "{{ a }", "{% a }}", "{% set x = 1 }}", "{{ 01 }}", "{{ not }}", "{{ and }}|{{ if }}|{{ in }}|", "{% if true: %}x{% endif: %}", "{% if true: %}x{% endif %}",
    "{{ ] }}", "{{ (] }}", "{{ a.b.c.d }}", "{% for i in l recursive if i %}{% endfor %}", "{% set %}{% endset %}", "{% call %}{% endcall %}", "{% filter nope %}{% endfilter %}", "{{ l[1 }}", "{{ a is }}", "{{ a not b }}", "{{ * }}", "{{ a if }}", "{{ a ? b : c }}", "{% do l.append(1) %}")

add("falsy", "{{ none|select|list }}|{{ 0|map('upper')|list }}|{{ false|reject('odd')|list }}|{{ missing|selectattr('x')|list }}|{{ missing is callable }}|{{ range(4).count(2) }}|{{ range(4).index(3) }}",
    "{{ 'x' % [1] }}|{{ 'x' % d }}|{{ ['<'|safe] }}|{{ ('<'|e) * 2 }}|{{ 'é²'.isalpha() }}|{{ '폐렴'.isalpha() }}|{{ '폐렴1'.isalnum() }}|{{ '१२'.isdigit() }}|{{ -0.0|round(0, 'floor') }}",
    "{{ 1|select|list }}", "{{ true|map('upper')|list }}")

add("raise", "{{ raise_exception('Roles must alternate') }}", "{% if false %}{{ raise_exception('x') }}{% endif %}ok", "{{ f and raise_exception('x') }}")

# ---- templates in the style of those that models ship ----

TEMPLATES = {}
TEMPLATES["chatml"] = """{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
TEMPLATES["chatml-default-system"] = """{% for message in messages %}
    {%- if loop.first and messages[0]['role'] != 'system' %}
        {{- '<|im_start|>system\\nYou answer questions about case notes.<|im_end|>\\n' }}
    {%- endif %}
    {{- '<|im_start|>' ~ message.role ~ '\\n' }}
    {%- generation %}
        {{- message.content | trim }}
    {%- endgeneration %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
TEMPLATES["llama2-style"] = """{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set head = '<<SYS>>\\n' + messages[0]['content'].strip() + '\\n<</SYS>>\\n\\n' %}{% else %}{% set rest = messages %}{% set head = '' %}{% endif %}
{%- for message in rest %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('The turns of user and assistant must alternate, at turn ' ~ loop.index) }}{% endif %}
{%- if loop.index0 == 0 %}{% set text = head + message['content'] %}{% else %}{% set text = message['content'] %}{% endif %}
{%- if message['role'] == 'user' %}{{ bos_token + '[INST] ' + text.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + text.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"""
TEMPLATES["llama3-style"] = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "01 Jan 2025" %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {{- "You may call these functions, with JSON:\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls | length == 1 %}
            {{- raise_exception("one call at a time") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or (message.content is iterable and message.content is not string) %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
TEMPLATES["mistral-style"] = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages if not (message.role == "tool" or message.tool_calls is defined) %}
    {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
        {{- raise_exception("user and assistant must alternate") }}
    {%- endif %}
    {%- set ns.index = ns.index + 1 %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is defined and tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("a call's id has 9 characters") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
        {%- endfor %}
        {{- "]" + eos_token }}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token }}
    {%- elif message["role"] == "tool" %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content|string + ', "call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("this role is not known: " + message["role"]) }}
    {%- endif %}
{%- endfor %}
"""
TEMPLATES["gemma-style"] = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported here') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}"""
TEMPLATES["gemma3-style"] = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("roles must alternate") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\\n'}}
{%- endif -%}
"""
TEMPLATES["phi3-style"] = """{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\\n' + message['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"""
TEMPLATES["qwen25-style"] = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are Owl, a helpful assistant.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n\\nFunctions are within <tools></tools> tags:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are Owl, a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
TEMPLATES["qwen3-style"] = """{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system") %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""
TEMPLATES["deepseek-style"] = """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, system_prompt='', is_first_sp=true) %}{%- for message in messages %}{%- if message['role'] == 'system' %}{%- if ns.is_first_sp %}{% set ns.system_prompt = ns.system_prompt + message['content'] %}{% set ns.is_first_sp = false %}{%- else %}{% set ns.system_prompt = ns.system_prompt + '\\n\\n' + message['content'] %}{%- endif %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system_prompt }}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<|User|>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<|Assistant|>' + content + '<|end|>'}}{%- endif %}{%- endfor -%}{% if add_generation_prompt and not ns.is_tool %}{{'<|Assistant|>'}}{% endif %}"""
TEMPLATES["macro-style"] = """{%- macro turn(role, text, end='<|end|>') -%}
<|{{ role }}|>
{{ text | trim }}{{ end }}
{% endmacro -%}
{%- macro json_type(p) -%}
{%- if p.type is string -%}{{ {'string': 'str', 'number': 'float'}[p.type] | default('Any') }}{%- elif p.type is iterable -%}{{ p.type | map('upper') | join(' | ') }}{%- else -%}Any{%- endif -%}
{%- endmacro -%}
{%- for tool in tools or [] -%}
def {{ tool.function.name }}({% for name, p in tool.function.parameters.properties | dictsort %}{{ name }}: {{ json_type(p) }}{{ ', ' if not loop.last }}{% endfor %})
{% endfor -%}
{%- for m in messages -%}
{{ turn(m.role | capitalize, m.content) if m.content else turn(m['role'], 'nothing', end='') }}
{%- endfor -%}
"""
TEMPLATES["solar-style"] = """{% for message in messages %}{% if message.role == 'system' %}{% if message.content%}{{'### System:\\n' + message.content+'\\n\\n'}}{% endif %}{% elif message.role == 'user' %}{{'### User:\\n' + message.content+'\\n\\n'}}{% elif message.role == 'assistant' %}{{'### Assistant:\\n' + message.content}}{% if not loop.last %}{{ '\\n\\n' }}{% endif %}{% endif %}{% if loop.last and add_generation_prompt %}{{ '### Assistant:\\n' }}{% endif %}{% endfor %}"""

BASE = {"bos_token": "<s>", "eos_token": "</s>"}
THINK = LONG[:2] + [{"role": "assistant", "content": "<think>\nhm, 81 mg\n</think>\n\nYes."}] + LONG[3:]
PARTS = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " What? "}]}]
CONTEXTS = {
    "user": {"messages": U, "add_generation_prompt": True},
    "system": {"messages": SU, "add_generation_prompt": True},
    "long": {"messages": LONG, "add_generation_prompt": False},
    "tools": {"messages": CALLS, "tools": [TOOL, TOOL], "add_generation_prompt": True},
    "think": {"messages": THINK, "add_generation_prompt": True, "enable_thinking": False},
    "reply": {"messages": SU + [{"role": "assistant", "content": "No.", "reasoning_content": "\nthink\n"}]},
    "parts": {"messages": PARTS, "add_generation_prompt": True},
    "twice": {"messages": U + U, "add_generation_prompt": True},
}
for _name, _template in TEMPLATES.items():
    for _kind, _context in CONTEXTS.items():
        CASES.append((f"{_name}/{_kind}", _template, {**BASE, **_context}))
