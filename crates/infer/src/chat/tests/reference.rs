//! Templates and what Jinja2 makes of them, with the settings of `transformers`.

pub(super) const METHODS: &[(&str, &str)] = &[
    (
        "{{ 'abcabc'.index('b') }} {{ 'abcabc'.rindex('b') }} {{ 'abcabc'.find('b', 2) }} {{ 'abcabc'.find('z') }} {{ 'abcabc'.rfind('b', 0, 3) }} {{ 'äbc'.find('c') }}",
        "1 4 4 -1 1 2",
    ),
    (
        "{{ 'abc'.find('a', -1) }} {{ 'abc'.find('', 5) }} {{ 'abc'.find('', 3) }} {{ 'abc'.count('') }} {{ 'aXbXc'.count('X', 2) }}",
        "-1 -1 3 4 1",
    ),
    (
        "{{ '7'.zfill(3) }} {{ '-7'.zfill(4) }} {{ '+7'.zfill(4) }} {{ '12345'.zfill(3) }} {{ ''.zfill(2) }}",
        "007 -007 +007 12345 00",
    ),
    (
        "[{{ 'ab'.ljust(5) }}] [{{ 'ab'.rjust(5, '*') }}] [{{ 'ab'.center(5) }}] [{{ 'ab'.center(7, '-') }}] [{{ 'abc'.center(6) }}] [{{ 'a'.center(4,'.') }}]",
        "[ab   ] [***ab] [  ab ] [---ab--] [ abc  ] [.a..]",
    ),
    (
        "{{ 'Straße ŉ ς'.casefold() }} {{ 'aBc'.swapcase() }} {{ \"they're bill's\".title() }} {{ 'Hello World'.istitle() }} {{ 'hello'.istitle() }} {{ 'HeLLo'.istitle() }}",
        "strasse ʼn σ AbC They'Re Bill'S True False False",
    ),
    (
        "{{ 'a,b,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ 'a b  c'.split() }} {{ ' a b  c '.split(None, 1) }} {{ ' a b c '.split(maxsplit=1) }} {{ 'a,b'.split(sep=',') }}",
        "['a', 'b', 'c'] ['a', 'b,c'] ['a', 'b', 'c'] ['a', 'b  c '] ['a', 'b c '] ['a', 'b']",
    ),
    (
        "{{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b  c '.rsplit(None, 1) }} {{ ' a b  c '.rsplit() }}",
        "['a,b', 'c'] [' a b', 'c'] ['a', 'b', 'c']",
    ),
    (
        "{{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'abc'.partition('-') }} {{ 'abc'.rpartition('-') }}",
        "('a', '-', 'b-c') ('a-b', '-', 'c') ('abc', '', '') ('', '', 'abc')",
    ),
    (
        "{{ 'pre-x'.removeprefix('pre-') }} {{ 'x.y'.removesuffix('.y') }}",
        "x x",
    ),
    (
        "{{ 'a\\nb\\r\\nc\\x0bd'.splitlines() }} {{ 'a\\nb\\n'.splitlines(True) }} {{ 'a\\nb\\n'.splitlines(keepends=true) }} {{ ''.splitlines() }}",
        "['a', 'b', 'c', 'd'] ['a\\n', 'b\\n'] ['a\\n', 'b\\n'] []",
    ),
    (
        "{{ '12'.isdigit() }} {{ '²'.isdigit() }} {{ '²'.isdecimal() }} {{ '½'.isdigit() }} {{ '½'.isnumeric() }} {{ '٣'.isdigit() }} {{ ''.isdigit() }}",
        "True True False False True True False",
    ),
    (
        "{{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' \\t'.isspace() }} {{ 'aB'.islower() }} {{ 'ab1'.islower() }} {{ 'AB'.isupper() }} {{ 'abc'.isidentifier() }} {{ '1a'.isidentifier() }} {{ 'a b'.isprintable() }} {{ 'a\\n'.isprintable() }} {{ 'a'.isascii() }}",
        "True True True False True True True False True False True",
    ),
    (
        "[{{ 'a\\tb'.expandtabs() }}] [{{ 'a\\tb\\n\\tc'.expandtabs(4) }}] [{{ 'a\\tb'.expandtabs(0) }}]",
        "[a       b] [a   b\n    c] [ab]",
    ),
    (
        "{{ 'xxaxx'.strip('x') }} {{ '  a '.strip() }}|{{ '  a '.lstrip() }}|{{ ' a  '.rstrip() }}|{{ 'abcba'.strip('ab') }}|{{ ' x '.strip(None) }}",
        "a a|a | a|c|x",
    ),
    (
        "{{ 'aaa'.replace('a','b',2) }} {{ 'aaa'.replace('a','') }} {{ 'abc'.replace('','-') }} {{ 'abc'.replace('','-',2) }}",
        "bba  -a-b-c- -a-bc",
    ),
    (
        "{{ 'abc'.startswith('a') }} {{ 'abc'.startswith(('x','a')) }} {{ 'abc'.startswith('b', 1) }} {{ 'abc'.endswith('b', 0, 2) }} {{ 'abc'.endswith(('c','d')) }}",
        "True True True True True",
    ),
    (
        "{{ ','.join(['a','b']) }} {{ 'abc'.upper() }} {{ 'ABC'.lower() }} {{ 'abc def'.capitalize() }}",
        "a,b ABC abc Abc def",
    ),
    (
        "{{ '{} {}'.format(1, 'a') }} {{ '{0}{1}{0}'.format('a','b') }} {{ '{x:>5}|{y:.2f}'.format(x='a', y=1.234) }} {{ '{:,}'.format(1234567) }} {{ '{a}'.format_map({'a': 1}) }} {{ '{:05d}'.format(42) }} {{ '{:^7}'.format('a') }}",
        "1 a aba     a|1.23 1,234,567 1 00042    a   ",
    ),
    (
        "{{ [1,2,3].index(2) }} {{ [1,2,1].count(1) }} {{ {'a':1}.get('a') }} {{ {'a':1}.get('b', 5) }} {{ {'a':1}.get('b') }} {{ {'a':1,'b':2}.items()|list }} {{ {'a':1}.keys()|list }} {{ {'a':1}.values()|list }} {{ {'a':1}.copy() }}",
        "1 2 1 5 None [('a', 1), ('b', 2)] ['a'] [1] {'a': 1}",
    ),
    (
        "{{ {'a':[1,{'b':[]}],'c':{}} | tojson(indent=2) }}",
        "{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    }\n  ],\n  \"c\": {}\n}",
    ),
    (
        "{{ [1,2,3][::-1] }} {{ 'abc'[::-1] }} {{ 'abc'[1:] }} {{ [1,2,3][-1] }} {{ 'abc'[-2:] }} {{ [1,2,3,4][1:3] }} {{ (1,2) }} {{ (1,) }} {{ () }}",
        "[3, 2, 1] cba bc 3 bc [2, 3] (1, 2) (1,) ()",
    ),
    (
        "{{ 'a' ~ 1 ~ none ~ true }} {{ 'a' * 3 }} {{ [1] + [2] }} {{ [1]*2 }} {{ 'a' in 'abc' }} {{ 'a' not in ['b'] }} {{ 1 if false }}| {{ 'x' if zz else 'y' }} {{ zz }}| {{ 1 < 2 < 3 }} {{ 'a' 'b' }} {{ true and 'x' }} {{ '' or 'y' }}",
        "a1NoneTrue aaa [1, 2] [1, 1] True True | y | True ab x y",
    ),
    (
        "{{ '\\u00e9\\n\\t' }} {{ \"a\\\\b\" }} {{ 'it\\'s' }} {{ '{{' }} {{ \"%}\" }} {{ '{' ~ '%' ~ '}' }}",
        "é\n\t a\\b it's {{ %} {%}",
    ),
    ("{{ x.y.z }}", ""),
    ("{{ none.foo }}", ""),
];

pub(super) const PERCENTS: &[(&str, &str)] = &[
    (
        "{{ '%x %X %o %e %g' % (255, 255, 8, 12345.678, 0.0001) }} {{ '%+d % d' % (3, 4) }} {{ '%c' % 'z' }} {{ '%s' % [1,'a'] }} {{ '%s' % none }} {{ '%s' % true }}",
        "ff FF 10 1.234568e+04 0.0001 +3  4 z [1, 'a'] None True",
    ),
    (
        "{{ 7 % 3 }} {{ -7 % 3 }} {{ 7.5 % 2 }} {{ 7 % -3 }} {{ 10 * 7 % 4 }} {{ 10 % 4 * 3 }} {{ 1 + 7 % 3 }} {{ (1 + 7) % 3 }} {{ 2 ** 3 % 3 }} {{ 7 % 2 ** 2 }} {{ 20 % 7 % 4 }}",
        "1 2 1.5 -2 2 6 2 2 2 3 2",
    ),
    (
        "{{ ('%s' % 'a') ~ 'b' }} {{ '%s' % 'a' ~ 'b' }} {{ '%s' % 'a' + 'b' }} {{ '%s' % ('a' + 'b') }} {{ '%s' % 'a'|upper }} {{ ('%s' % 'a')|upper }} {{ '%s' % x.y[0]|upper }}",
        "ab ab ab ab A A Q",
    ),
    (
        "{{ '%s: %s' % (x['y'], d.a) }}{{ \"%s\" % (d.a,) }} {{ '%3d|%-3d|%03d' % (1, 2, 3) }} {{ '%.3s' % 'abcdef' }} {{ '%5.1f%%' % 12.345 }} {{ '%i' % 3.0 }} {{ '%d' % 3.7 }} {{ '%r' % 'a' }}",
        "['q']: 11   1|2  |003 abc  12.3% 3 3 'a'",
    ),
];

pub(super) const FILTERS: &[(&str, &str)] = &[
    (
        "{{ {'a': [1, none, true, 1.5, 'é\"\\n/']} | tojson }} {{ {'b':1,'a':2}|tojson(sort_keys=true) }} {{ {'a':1}|tojson(separators=(',',':')) }} {{ 'é'|tojson(ensure_ascii=true) }} {{ '😀'|tojson(ensure_ascii=True) }}",
        "{\"a\": [1, null, true, 1.5, \"é\\\"\\n/\"]} {\"a\": 2, \"b\": 1} {\"a\":1} \"\\u00e9\" \"\\ud83d\\ude00\"",
    ),
    (
        "{{ {'a':[1,2]} | tojson(indent=4, separators=(',', ':')) }} {{ [1]|tojson(indent=0) }} {{ [1]|tojson(indent='--') }}",
        "{\n    \"a\":[\n        1,\n        2\n    ]\n} [\n1\n] [\n--1\n]",
    ),
    (
        "{{ {1:2, true: 3, none: 4}|tojson }} {{ 1e16|tojson }} {{ 1e-7|tojson }} {{ 0.1|tojson }} {{ 1.0|tojson }} {{ 1.5e300|tojson }} {{ 123456789012345678901234567890|tojson }}",
        "{\"1\": 3, \"null\": 4} 1e+16 1e-07 0.1 1.0 1.5e+300 123456789012345678901234567890",
    ),
    (
        "{{ '\\x7f\\x01\\u2028<>&\\'' | tojson }} {{ undefinedx is defined }}",
        "\"\u{7f}\\u0001\u{2028}<>&'\" False",
    ),
    (
        "{{ 'hello world foo bar'|truncate(9) }} {{ 'hello world foo bar'|truncate(9, true) }} {{ 'hello world foo bar'|truncate(9, true, '!', 0) }} {{ 'hello'|truncate(3, leeway=0) }} {{ 'foo bar baz qux'|truncate(11) }}",
        "hello... hello ... hello wo! ... foo bar baz qux",
    ),
    (
        "{{ 'hello, big world_2 é'|wordcount }} {{ ''|wordcount }}",
        "4 0",
    ),
    (
        "[{{ 'foo'|center(9) }}] [{{ 'foo'|center(width=6) }}] {{ 1000|filesizeformat }} {{ 1|filesizeformat }} {{ 999|filesizeformat }} {{ 1500000|filesizeformat }} {{ 1500000|filesizeformat(true) }} {{ 1024|filesizeformat(binary=true) }} {{ '5000'|filesizeformat }}",
        "[   foo   ] [ foo  ] 1.0 kB 1 Byte 999 Bytes 1.5 MB 1.4 MiB 1.0 KiB 5.0 kB",
    ),
    (
        "{{ '<a>'|forceescape }} {{ '<a href=\"x\">\\'</a>'|e }} {{ '<p>Hi &amp; <b>you</b>\\n\\n x</p>'|striptags }} {{ {'class':'a','id':none,'x':'<\"'}|xmlattr }}",
        "&lt;a&gt; &lt;a href=&#34;x&#34;&gt;&#39;&lt;/a&gt; Hi & you x  class=\"a\" x=\"&lt;&#34;\"",
    ),
    (
        "{{ 'abc'|int }} {{ '42'|int }} {{ '0x1f'|int(base=16) }} {{ 'ff'|int(0, 16) }} {{ '3.7'|int }} {{ 3.9|int }} {{ none|int }} {{ [1]|int }} {{ 'x'|int(default=7) }} {{ 'abc'|float }} {{ '1.5'|float }} {{ 'x'|float(2.5) }} {{ true|int }}",
        "0 42 31 255 3 3 0 0 7 0.0 1.5 2.5 1",
    ),
    (
        "{{ x|default('d') }} {{ ''|default('d', true) }} {{ ''|default('d', boolean=true) }} {{ ''|default('d', boolean=false) }}| {{ zz|default('q') }} {{ zz|d('q') }} {{ none|default('n') }} {{ zz|default(default_value='w') }}",
        "{'y': ['q']} d d | q q None w",
    ),
    (
        "{{ [3,1,2]|sort }} {{ [3,1,2]|sort(reverse=true) }} {{ ['b','A','c']|sort }} {{ ['b','A','c']|sort(case_sensitive=true) }} {{ [{'a':2},{'a':1}]|sort(attribute='a') }} {{ [1,2,3]|sum }} {{ [{'a':2},{'a':1}]|sum(attribute='a') }} {{ [1,2]|sum(start=10) }}",
        "[1, 2, 3] [3, 2, 1] ['A', 'b', 'c'] ['A', 'b', 'c'] [{'a': 1}, {'a': 2}] 6 3 13",
    ),
    (
        "{{ [1,2,3]|min }} {{ [1,2,3]|max }} {{ ['b','A']|min }} {{ []|max }} {{ [1,1,2]|unique|list }} {{ ['a','A']|unique|list }} {{ [1,2,3,4,5]|batch(2)|list }} {{ [1,2,3,4,5]|batch(2, 'x')|list }} {{ [1,2,3,4,5]|slice(2)|list }} {{ [1,2,3]|slice(2, 'x')|list }}",
        "1 3 A  [1, 2] ['a'] [[1, 2], [3, 4], [5]] [[1, 2], [3, 4], [5, 'x']] [[1, 2, 3], [4, 5]] [[1, 2], [3, 'x']]",
    ),
    (
        "{{ [{'a':1},{'a':2}]|map(attribute='a')|list }} {{ [{'a':1},{}]|map(attribute='a', default=0)|list }} {{ ['a','b']|map('upper')|join(',') }} {{ [{'a':1},{'a':none}]|selectattr('a')|list }} {{ [{'a':1},{'a':2}]|selectattr('a','equalto',2)|list }} {{ [{'a':1},{'a':2}]|rejectattr('a','eq',2)|list }} {{ [1,2,3]|select('odd')|list }} {{ [1,2,3]|reject('odd')|list }} {{ [0,1]|select|list }}",
        "[1, 2] [1, 0] A,B [{'a': 1}] [{'a': 2}] [{'a': 1}] [1, 3] [2] [1]",
    ),
    (
        "{{ 42.55|round }} {{ 42.55|round(1) }} {{ 42.55|round(1,'floor') }} {{ 42|round }} {{ 2.5|round }} {{ 42.1|round(method='ceil') }} {{ -3|abs }} {{ 'abc'|reverse }} {{ [1,2]|reverse|list }} {{ 'abc'|first }} {{ [1,2]|last }} {{ 'abc'|length }} {{ [1,2]|count }}",
        "43.0 42.5 42.5 42 2.0 43.0 3 cba [2, 1] a 2 3 2",
    ),
    (
        "{{ 'a\\nb\\n\\nc'|indent }} | {{ 'a\\nb'|indent(2, true) }} | {{ 'a\\n\\nb'|indent(2, blank=true) }} | {{ 'a\\nb'|indent('--') }} | {{ 'a\\nb'|indent(width=1, first=true) }}",
        "a\n    b\n\n    c |   a\n  b | a\n  \n  b | a\n--b |  a\n b",
    ),
    (
        "{{ ['a','b']|join(', ') }} {{ [{'n':1},{'n':2}]|join('-', attribute='n') }} {{ [1,2]|join }} {{ 'hello world-foo bar'|title }} {{ 'hELLO'|capitalize }} {{ '  a '|trim }}| {{ 'xxaxx'|trim('x') }} {{ 'abab'|replace('a','c',1) }} {{ 'ab'|list }} {{ {'b':1,'a':2}|dictsort }} {{ {'b':1,'a':2}|dictsort(by='value') }} {{ {'a':1}|items|list }} {{ 5|string }} {{ '%s-%s'|format(1,2) }} {{ '%(a)s'|format(a=1) }}",
        "a, b 1-2 12 Hello World-Foo Bar Hello a| a cbab ['a', 'b'] [('a', 2), ('b', 1)] [('b', 1), ('a', 2)] [('a', 1)] 5 1-2 1",
    ),
    (
        "{{ 'The quick brown fox jumps over the lazy dog'|wordwrap(10) }} / {{ 'aaaaaaaaaaaaaaaa b'|wordwrap(5) }} / {{ 'aaaaaaaa b'|wordwrap(5, false) }} / {{ 'well-known co-operation'|wordwrap(6) }} / {{ 'a b\\nc d'|wordwrap(1, wrapstring='|') }}",
        "The quick\nbrown fox\njumps over\nthe lazy\ndog / aaaaa\naaaaa\naaaaa\na b / aaaaaaaa\nb / well-\nknown\nco-ope\nration / a|b|c|d",
    ),
    (
        "{{ range(3)|map('string')|list|tojson }} {{ 'abc'|upper|lower|title }} {{ ('a','b')|join }} {{ ('a','b')|tojson }} {{ 'abc'|batch(2)|list }} {{ none|string }} {{ [none, false]|tojson }}",
        "[\"0\", \"1\", \"2\"] Abc ab [\"a\", \"b\"] [['a', 'b'], ['c']] None [null, false]",
    ),
    (
        "{{ 'a b c'|replace(' ', '')|length }} {{ \"a'b\" }} {{ [\"a'b\"] }} {{ ['a\"b\\'c', '\\n', '\\\\', 'é'] }} {{ {'a': None} }} {{ [[], {}, ''] }}",
        "3 a'b [\"a'b\"] ['a\"b\\'c', '\\n', '\\\\', 'é'] {'a': None} [[], {}, '']",
    ),
];

pub(super) const TESTS: &[(&str, &str)] = &[
    (
        "{{ '%s is %d' % ('a', 3) }} {{ '%05.2f' % 3.14159 }} {{ '%s' % 'x' }} {{ '%d%%' % 5 }} {{ \"%-5s|\" % 'a' }} {{ '%(a)s-%(b)03d' % {'a': 1, 'b': 2} }}",
        "a is 3 03.14 x 5% a    | 1-002",
    ),
    (
        "{{ range is callable }} {{ 'a' is callable }} {{ raise_exception is callable }} {{ namespace is callable }} {{ 'a' is sequence }} {{ [1] is sequence }} {{ {'a':1} is sequence }} {{ 1 is sequence }} {{ none is sequence }} {{ (1,2) is sequence }}",
        "True False True True True True True False False True",
    ),
    (
        "{{ 'a' is iterable }} {{ {} is iterable }} {{ 1 is iterable }} {{ none is iterable }} {{ true is integer }} {{ 1 is integer }} {{ 1.0 is integer }} {{ 1.0 is float }} {{ true is number }} {{ true is boolean }} {{ 'a' is string }} {{ {} is mapping }} {{ none is none }} {{ 1 is true }} {{ true is true }}",
        "True True False False False True False True True True True True True False True",
    ),
    (
        "{{ 3 is odd }} {{ 4 is even }} {{ 4 is divisibleby 2 }} {{ 4 is divisibleby(3) }} {{ 1 is eq 1 }} {{ 1 is equalto 1 }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 2 is gt 1 }} {{ 1 is ge 1 }} {{ 1 is le 1 }} {{ 1 is in [1] }} {{ 'a' is lower }} {{ 'A' is upper }} {{ 1 is sameas 1 }} {{ 'upper' is filter }} {{ 'odd' is test }} {{ 'a' is escaped }} {{ zz is undefined }} {{ false is false }}",
        "True True True False True True True True True True True True True True True True True False True True",
    ),
];

pub(super) const TAGS: &[(&str, &str)] = &[
    (
        "{% set f = '%02d' %}{{ f % 5 }} {{ f % n }} {{ d['fmt'] % d.a }} {{ ['%s' % 1, '%s' % 2] }} {{ {'k': '%s' % 1} }} {{ ('%s' % 1) if n % 2 else ('%s' % 2) }}",
        "05 03 <1> ['1', '2'] {'k': '1'} 1",
    ),
    (
        "{% for i in range(5) %}{% if i % 2 == 0 %}{{ '%d,' % i }}{% endif %}{% endfor %}",
        "0,2,4,",
    ),
    (
        "{% for g in [{'a':1,'b':2},{'a':1,'b':3},{'a':2,'b':4}]|groupby('a') %}{{ g.grouper }}:{{ g.list }};{{ g[0] }}{% for k in g[1] %}{{ k.b }}{% endfor %}{% endfor %}",
        "1:[{'a': 1, 'b': 2}, {'a': 1, 'b': 3}];1232:[{'a': 2, 'b': 4}];24",
    ),
    (
        "{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a }} {% for i in [1,2,3] %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{%- if i == 3 %}{%- break %}{%- endif %}{% endfor %}",
        "2 13",
    ),
    (
        "{% generation %}x{% endgeneration %}y{%- generation -%} z {%- endgeneration -%} w",
        "xyzw",
    ),
    (
        "{% macro m(a, b='x') %}{{ a }}{{ b }}{{ caller() if caller }}{% endmacro %}{{ m(1) }}{{ m(1, b=2) }}{% call m(3) %}C{% endcall %}",
        "1x123xC",
    ),
    (
        "{{ d.zz }}| {{ d['zz'] }}| {{ d.zz is defined }} {{ d.items()|length }} {{ d.keys()|join(',') }} {% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k, v in d|items %}{{ k }}{% endfor %}{% for k in d %}{{ k }}{% endfor %}",
        "| | False 2 a,fmt a=1;fmt=<%s>;afmtafmt",
    ),
    (
        "{{ messages|length }} {{ lst|map('tojson')|join(', ') }} {{ lst|first|tojson }} {% for x in lst if x is mapping %}{{ loop.index }}{{ loop.first }}{{ loop.last }}{% else %}none{% endfor %} {{ loop is defined }}",
        "2 {\"role\": \"user\", \"c\": 1}, {\"role\": \"sys\"} {\"role\": \"user\", \"c\": 1} 1TrueFalse2FalseTrue False",
    ),
    (
        "{%- set x = 'abc' -%} {%- set y %} block {% endset %} [{{ y }}] {% filter upper %}abc{% endfilter %} {% with a=1 %}{{ a }}{% endwith %} {% raw %}{{ '%s' % x }}{% endraw %} {# comment '%s' % x #}",
        " [ block ] ABC 1 {{ '%s' % x }} ",
    ),
    (
        "{% for k, v in {'x':1,'y':2}.items() %}{{ k }}{{ v }}{% if not loop.last %}, {% endif %}{% endfor %} {% for a in [1,2] recursive %}{{ a }}{% endfor %} {{ loop }}",
        "x1, y2 12 ",
    ),
    (
        "{% set a, b = 1, 2 %}{{ a }}{{ b }} {{ [(1,2),(3,4)]|map('first')|list }} {% for a, b in [(1,2),(3,4)] %}{{ a+b }}{% endfor %} {% set x = x.y if x else 1 %}{{ x }} {{ (d.a or 'q')|string + '!' }}",
        "12 [1, 3] 37 ['q'] 1!",
    ),
];

pub(super) const REFUSED: &[&str] = &[
    "{{ 'abc'.index('z') }}",
    "{{ 'a'.split('') }}",
    "{{ 'a' % 'b' }}",
    "{{ '%d' % 'b' }}",
    "{{ '%s %s' % 'b' }}",
    "{{ [1].append(2) }}",
    "{{ {'a':1}.pop('a') }}",
    "{{ {'a':1}.update({'b':1}) }}",
    "{{ undefinedx | tojson }}",
    "{{ zz.a }}",
    "{{ 'a' + 1 }}",
    "{{ raise_exception('no way') }}",
    "{{ 5 % 0 }}",
    "{{ 'x'.foo() }}",
    "{% do 1 %}",
];

/// Names, and what the four messages of the test become, by llama.cpp's own code.
pub(super) const BUILT_IN: &[(&str, &str)] = &[
    (
        "bailing",
        "<role>SYSTEM</role>Be brief.<role>HUMAN</role>Hi there<role>ASSISTANT</role> Hello. <role>HUMAN</role>And now?<role>ASSISTANT</role>",
    ),
    (
        "bailing-think",
        "<role>SYSTEM</role>Be brief.<role>HUMAN</role>Hi there<role>ASSISTANT</role> Hello. <role>HUMAN</role>And now?<role>ASSISTANT</role><think>",
    ),
    (
        "bailing2",
        "<role>SYSTEM</role>Be brief.<|role_end|><role>HUMAN</role>Hi there<|role_end|><role>ASSISTANT</role> Hello. <|role_end|><role>HUMAN</role>And now?<|role_end|><role>ASSISTANT</role>",
    ),
    (
        "chatglm3",
        "[gMASK]sop<|system|>\n Be brief.<|user|>\n Hi there<|assistant|>\n  Hello. <|user|>\n And now?<|assistant|>",
    ),
    (
        "chatglm4",
        "[gMASK]<sop><|system|>\nBe brief.<|user|>\nHi there<|assistant|>\n Hello. <|user|>\nAnd now?<|assistant|>\n",
    ),
    (
        "chatml",
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n Hello. <|im_end|>\n<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\n",
    ),
    (
        "command-r",
        "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be brief.<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi there<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Hello.<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>And now?<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    ),
    (
        "deepseek",
        "Be brief.### Instruction:\nHi there\n### Response:\n Hello. \n<|EOT|>\n### Instruction:\nAnd now?\n### Response:\n",
    ),
    (
        "deepseek2",
        "Be brief.\n\nUser: Hi there\n\nAssistant:  Hello. </s>User: And now?\n\nAssistant:",
    ),
    (
        "deepseek3",
        "Be brief.\n\n<｜User｜>Hi there<｜Assistant｜> Hello. </s><｜User｜>And now?<｜Assistant｜>",
    ),
    (
        "exaone-moe",
        "<|system|>\nBe brief.<|endofturn|>\n<|user|>\nHi there<|endofturn|>\n<|assistant|>\nHello.<|endofturn|>\n<|user|>\nAnd now?<|endofturn|>\n<|assistant|>\n",
    ),
    (
        "exaone3",
        "[|system|]Be brief.[|endofturn|]\n[|user|]Hi there\n[|assistant|]Hello.[|endofturn|]\n[|user|]And now?\n[|assistant|]",
    ),
    (
        "exaone4",
        "[|system|]Be brief.[|endofturn|]\n[|user|]Hi there\n[|assistant|]Hello.[|endofturn|]\n[|user|]And now?\n[|assistant|]",
    ),
    (
        "falcon3",
        "<|system|>\nBe brief.\n<|user|>\nHi there\n<|assistant|>\n Hello. \n<|user|>\nAnd now?\n<|assistant|>\n",
    ),
    (
        "gemma",
        "<start_of_turn>user\nBe brief.\n\nHi there<end_of_turn>\n<start_of_turn>model\nHello.<end_of_turn>\n<start_of_turn>user\nAnd now?<end_of_turn>\n<start_of_turn>model\n",
    ),
    (
        "gigachat",
        "<s>Be brief.<|message_sep|>user<|role_sep|>Hi there<|message_sep|>available functions<|role_sep|>[]<|message_sep|>assistant<|role_sep|> Hello. <|message_sep|>user<|role_sep|>And now?<|message_sep|>available functions<|role_sep|>[]<|message_sep|>assistant<|role_sep|>",
    ),
    (
        "glmedge",
        "<|system|>\nBe brief.<|user|>\nHi there<|assistant|>\n Hello. <|user|>\nAnd now?<|assistant|>",
    ),
    (
        "gpt-oss",
        "<|start|>system<|message|>Be brief.<|end|><|start|>user<|message|>Hi there<|end|><|start|>assistant<|message|> Hello. <|return|><|start|>user<|message|>And now?<|end|><|start|>assistant",
    ),
    (
        "granite",
        "<|start_of_role|>system<|end_of_role|>Be brief.<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>Hi there<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|> Hello. <|end_of_text|>\n<|start_of_role|>user<|end_of_role|>And now?<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
    ),
    (
        "granite-4.0",
        "<|start_of_role|>system<|end_of_role|>Be brief.<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>Hi there<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|> Hello. <|end_of_text|>\n<|start_of_role|>user<|end_of_role|>And now?<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
    ),
    (
        "granite-4.1",
        "<|start_of_role|>system<|end_of_role|>Be brief.<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>Hi there<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|> Hello. <|end_of_text|>\n<|start_of_role|>user<|end_of_role|>And now?<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
    ),
    (
        "grok-2",
        "System: Be brief.<|separator|>\n\nHuman: Hi there<|separator|>\n\nAssistant:  Hello. <|separator|>\n\nHuman: And now?<|separator|>\n\nAssistant:",
    ),
    (
        "hunyuan-dense",
        "Be brief.<｜hy_place▁holder▁no▁3｜><｜hy_User｜>Hi there<｜hy_Assistant｜><｜hy_Assistant｜> Hello. <｜hy_place▁holder▁no▁2｜><｜hy_User｜>And now?<｜hy_Assistant｜>",
    ),
    (
        "hunyuan-moe",
        "<|startoftext|>Be brief.<|extra_4|><|startoftext|>Hi there<|extra_0|> Hello. <|eos|><|startoftext|>And now?<|extra_0|>",
    ),
    (
        "kimi-k2",
        "<|im_system|>system<|im_middle|>Be brief.<|im_end|><|im_user|>user<|im_middle|>Hi there<|im_end|><|im_assistant|>assistant<|im_middle|> Hello. <|im_end|><|im_user|>user<|im_middle|>And now?<|im_end|><|im_assistant|>assistant<|im_middle|>",
    ),
    (
        "llama2",
        "[INST] Be brief.\nHi there [/INST] Hello. </s>[INST] And now? [/INST]",
    ),
    (
        "llama2-sys",
        "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi there [/INST] Hello. </s>[INST] And now? [/INST]",
    ),
    (
        "llama2-sys-bos",
        "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi there [/INST] Hello. </s><s>[INST] And now? [/INST]",
    ),
    (
        "llama2-sys-strip",
        "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi there [/INST]Hello.</s>[INST] And now? [/INST]",
    ),
    (
        "llama3",
        "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi there<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnd now?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    (
        "llama4",
        "<|header_start|>system<|header_end|>\n\nBe brief.<|eot|><|header_start|>user<|header_end|>\n\nHi there<|eot|><|header_start|>assistant<|header_end|>\n\nHello.<|eot|><|header_start|>user<|header_end|>\n\nAnd now?<|eot|><|header_start|>assistant<|header_end|>\n\n",
    ),
    (
        "megrez",
        "<|role_start|>system<|role_end|>Be brief.<|turn_end|><|role_start|>user<|role_end|>Hi there<|turn_end|><|role_start|>assistant<|role_end|> Hello. <|turn_end|><|role_start|>user<|role_end|>And now?<|turn_end|><|role_start|>assistant<|role_end|>",
    ),
    (
        "minicpm",
        "Be brief.<用户>Hi there<AI>Hello.<用户>And now?<AI>",
    ),
    (
        "mistral-v1",
        " [INST] Be brief.\n\nHi there [/INST]  Hello. </s> [INST] And now? [/INST]",
    ),
    (
        "mistral-v3",
        "[INST] Be brief.\n\nHi there[/INST] Hello.</s>[INST] And now?[/INST]",
    ),
    (
        "mistral-v3-tekken",
        "[INST]Be brief.\n\nHi there[/INST] Hello. </s>[INST]And now?[/INST]",
    ),
    (
        "mistral-v7",
        "[SYSTEM_PROMPT] Be brief.[/SYSTEM_PROMPT][INST] Hi there[/INST]  Hello. </s>[INST] And now?[/INST]",
    ),
    (
        "mistral-v7-tekken",
        "[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][INST]Hi there[/INST] Hello. </s>[INST]And now?[/INST]",
    ),
    (
        "monarch",
        "system\nBe brief.</s>\n<s>user\nHi there</s>\n<s>assistant\n Hello. </s>\n<s>user\nAnd now?</s>\n<s>assistant\n",
    ),
    (
        "openchat",
        "Be brief.<|end_of_turn|>GPT4 Correct User: Hi there<|end_of_turn|>GPT4 Correct Assistant:  Hello. <|end_of_turn|>GPT4 Correct User: And now?<|end_of_turn|>GPT4 Correct Assistant:",
    ),
    (
        "orion",
        "Human: Be brief.\n\nHi there\n\nAssistant: </s> Hello. </s>Human: And now?\n\nAssistant: </s>",
    ),
    (
        "pangu-embedded",
        "[unused9]系统：Be brief.[unused10][unused9]用户：Hi there[unused10][unused9]助手： Hello. [unused10][unused9]用户：And now?[unused10][unused9]助手：",
    ),
    (
        "phi3",
        "<|system|>\nBe brief.<|end|>\n<|user|>\nHi there<|end|>\n<|assistant|>\n Hello. <|end|>\n<|user|>\nAnd now?<|end|>\n<|assistant|>\n",
    ),
    (
        "phi4",
        "<|im_start|>system<|im_sep|>Be brief.<|im_end|><|im_start|>user<|im_sep|>Hi there<|im_end|><|im_start|>assistant<|im_sep|> Hello. <|im_end|><|im_start|>user<|im_sep|>And now?<|im_end|><|im_start|>assistant<|im_sep|>",
    ),
    (
        "rwkv-world",
        "System: Be brief.\n\nUser: Hi there\n\nAssistant: Hello.\n\nUser: And now?\n\nAssistant:",
    ),
    (
        "seed_oss",
        "<seed:bos>system\nBe brief.<seed:eos><seed:bos>user\nHi there<seed:eos><seed:bos>assistant\nHello.<seed:eos><seed:bos>user\nAnd now?<seed:eos><seed:bos>assistant\n",
    ),
    (
        "smolvlm",
        "<|im_start|>Be brief.\n\nUser: Hi there<end_of_utterance>\nAssistant:  Hello. <end_of_utterance>\nUser: And now?<end_of_utterance>\nAssistant:",
    ),
    (
        "solar-open",
        "<|begin|>system<|content|>Be brief.<|end|><|begin|>user<|content|>Hi there<|end|><|begin|>assistant<|content|> Hello. <|end|><|begin|>user<|content|>And now?<|end|><|begin|>assistant",
    ),
    (
        "vicuna",
        "Be brief.\n\nUSER: Hi there\nASSISTANT:  Hello. </s>\nUSER: And now?\nASSISTANT:",
    ),
    (
        "vicuna-orca",
        "SYSTEM: Be brief.\nUSER: Hi there\nASSISTANT:  Hello. </s>\nUSER: And now?\nASSISTANT:",
    ),
    (
        "yandex",
        " Пользователь: Hi there\n\n Ассистент:  Hello. \n\n Пользователь: And now?\n\n Ассистент:[SEP]",
    ),
    (
        "zephyr",
        "<|system|>\nBe brief.</s>\n<|user|>\nHi there</s>\n<|assistant|>\n Hello. </s>\n<|user|>\nAnd now?</s>\n<|assistant|>\n",
    ),
];
