//! Pasted command lines, and the table itself.

use super::flags::FLAGS;
use super::*;

fn translated(line: &str) -> Result<(String, String)> {
    let args = ["aeolus"].into_iter().chain(line.split_whitespace());
    let spelled = translate(args.map(OsString::from).collect())?;
    let args: Vec<_> = spelled.args[1..]
        .iter()
        .map(|a| a.to_str().unwrap())
        .collect();
    Ok((args.join(" "), spelled.notes.join("\n")))
}

#[test]
fn flags_get_their_names_here_or_are_left_out() {
    for (theirs, ours, noted) in [
        ("run -ngl 99 -m a.gguf -p x", "run -m a.gguf -p x", "-ngl"),
        ("run -ngl all a.gguf -p x", "run a.gguf -p x", "-ngl"),
        ("run a.gguf -p x -fa", "run a.gguf -p x", "-fa"),
        ("run a.gguf -fa on -p x", "run a.gguf -p x", "-fa"),
        ("run -fa a.gguf -p x", "run a.gguf -p x", "-fa"),
        (
            "run a.gguf --flash-attn=off -p x",
            "run a.gguf -p x",
            "--flash-attn",
        ),
        ("run a.gguf -p x -st", "run a.gguf -p x --single-turn", ""),
        ("run a.gguf -p x -no-cnv", "run a.gguf -p x", "-no-cnv"),
        (
            "run a.gguf -p x -cnv -sys y",
            "run a.gguf -p x --interactive --system y",
            "",
        ),
        (
            "run a.gguf -p x --jinja --no-mmap --mlock",
            "run a.gguf -p x",
            "--no-mmap and --mlock are",
        ),
        (
            "run a.gguf -p x --temperature 0 -t -1",
            "run a.gguf -p x --temp 0",
            "",
        ),
        ("run a.gguf -p x -t 4 -tb 8", "run a.gguf -p x -t 4", "-tb"),
        (
            "run a.gguf -p x --mirostat 0 --typical 1.0",
            "run a.gguf -p x",
            "--mirostat and --typical",
        ),
        (
            "run a.gguf -p x --top-n-sigma -1",
            "run a.gguf -p x",
            "--top-n-sigma",
        ),
        (
            "run a.gguf -p x --samplers penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature",
            "run a.gguf -p x",
            "--samplers",
        ),
        (
            "run a.gguf -p x --sampling-seq edskypmxt",
            "run a.gguf -p x",
            "--sampling-seq",
        ),
        (
            "run a.gguf -p x -ctk f16 -dev none -ot a=CPU -cmoe",
            "run a.gguf -p x",
            "-dev, -ot and -cmoe",
        ),
        ("run -hf o/n -p x", "run hf:o/n -p x", ""),
        ("run -hf o/n:Q4_K_M -p x", "run hf:o/n:Q4_K_M -p x", ""),
        ("chat -hfr o/n -hff f.gguf", "chat hf:o/n/f.gguf", ""),
        ("chat a.gguf -cnv --color", "chat a.gguf", "-cnv"),
        (
            "perplexity -m a.gguf -f t.txt -ngl 99 -b 512",
            "perplexity a.gguf -f t.txt",
            "-ngl",
        ),
        (
            "perplexity -f t.txt --model a.gguf",
            "perplexity a.gguf -f t.txt",
            "",
        ),
        (
            "imatrix -m a.gguf -f t.txt -ngl 99 --no-ppl --chunks 3 --output-file o.gguf -b 512",
            "imatrix a.gguf -f t.txt --chunks 3 --output o.gguf",
            "--no-ppl",
        ),
        (
            "imatrix --in-file a.gguf --in-file b.dat -o c.gguf",
            "imatrix --in-file a.gguf --in-file b.dat -o c.gguf",
            "",
        ),
        (
            "tokenize -p x -m a.gguf --ids",
            "tokenize a.gguf --ids x",
            "",
        ),
        ("tokenize a.gguf -p x", "tokenize a.gguf x", ""),
        (
            "quantize a.gguf b.gguf Q4_K_M 8",
            "quantize a.gguf --type Q4_K_M --out b.gguf --threads 8",
            "",
        ),
        (
            "quantize --pure a.gguf q8_0",
            "quantize --pure a.gguf --type Q8_0",
            "",
        ),
        (
            "quantize a.gguf q8_0 4",
            "quantize a.gguf --type Q8_0 --threads 4",
            "",
        ),
        (
            "quantize a.gguf b.gguf 15",
            "quantize a.gguf --type Q4_K_M --out b.gguf",
            "",
        ),
        (
            "quantize a.gguf 2 8",
            "quantize a.gguf --type Q4_0 --threads 8",
            "",
        ),
        ("run a.gguf -ngl=99 -p x", "run a.gguf -p x", "-ngl"),
        ("run a.gguf -fa=on -p x", "run a.gguf -p x", "-fa"),
        ("run -hf=o/n -p x", "run hf:o/n -p x", ""),
        (
            "perplexity a.gguf -f t --ppl-stride 0",
            "perplexity a.gguf -f t",
            "",
        ),
        (
            "perplexity a.gguf -f t --ppl-stride 128",
            "perplexity a.gguf -f t --ppl-stride 128",
            "",
        ),
        (
            "chat -m a.gguf -st -p x",
            "chat -m a.gguf --single-turn -p x",
            "",
        ),
        (
            "quantize --imatrix i.dat --exclude-weights ffn a b.gguf Q4_0",
            "quantize --imatrix i.dat --exclude-weights ffn a --type Q4_0 --out b.gguf",
            "",
        ),
        (
            "quantize --output-tensor-type Q6_K a b.gguf Q4_0",
            "quantize --output-type Q6_K a --type Q4_0 --out b.gguf",
            "",
        ),
        // Our own command lines stay as they are.
        (
            "quantize a --type Q4_K_M -o b.gguf",
            "quantize a --type Q4_K_M -o b.gguf",
            "",
        ),
        (
            "quantize a --type Q4_K_M,Q8_0 -o out",
            "quantize a --type Q4_K_M,Q8_0 -o out",
            "",
        ),
        (
            "tasks a.gguf --hellaswag q.jsonl",
            "tasks a.gguf --hellaswag q.jsonl",
            "",
        ),
        ("run a.gguf -p -fa", "run a.gguf -p -fa", ""),
        (
            "run a.gguf -p -foo -r -stop --stop -x -n3 -c2048 -n=3 -ei -s-1",
            "run a.gguf -p -foo -r -stop --stop -x -n3 -c2048 -n=3 -ei -s-1",
            "",
        ),
        ("tokenize a.gguf -foo", "tokenize a.gguf -foo", ""),
        (
            "run a.gguf --stop -st -p x",
            "run a.gguf --stop -st -p x",
            "",
        ),
        ("run a.gguf -p x -- -ngl", "run a.gguf -p x -- -ngl", ""),
        ("inspect -ngl", "inspect -ngl", ""),
    ] {
        let (line, notes) = translated(theirs).unwrap_or_else(|e| panic!("{theirs}: {e}"));
        assert_eq!(line, ours, "{theirs}");
        assert!(notes.contains(noted), "{theirs}: {notes}");
        assert_eq!(notes.is_empty(), noted.is_empty(), "{theirs}: {notes}");
    }
}

#[test]
fn flags_that_would_change_the_output_are_refused_by_name() {
    for (line, named) in [
        ("run a.gguf -p x --mirostat 2", "--mirostat 2"),
        (
            "run a.gguf -p x --xtc-probability 0.5",
            "--xtc-probability 0.5",
        ),
        (
            "run a.gguf -p x --dry-multiplier 0.8",
            "--dry-multiplier 0.8",
        ),
        ("run a.gguf -p x --samplers top_k;temperature", "--samplers"),
        (
            "run a.gguf -p x --rope-freq-base 1000000",
            "--rope-freq-base 1000000",
        ),
        ("run a.gguf -p x --rope-scaling yarn", "--rope-scaling"),
        ("run a.gguf -p x --yarn-orig-ctx 4096", "--yarn-orig-ctx"),
        ("run a.gguf -p x -ctk q8_0", "-ctk q8_0"),
        ("run a.gguf -p x --grammar root", "--grammar"),
        ("run a.gguf -p x --lora a.gguf", "--lora"),
        ("run a.gguf -p x -hf o/n", "-hf o/n"),
        ("run -m a.gguf -p x -hf o/n", "-hf o/n"),
        ("run -hff f.gguf -p x", "-hff"),
        ("run -hft token -p x", "-hft"),
        ("run a.gguf -p x -hello", "-hello"),
        ("run a.gguf -pps -n 2", "-pps is not a flag of `aeolus run`"),
        ("run a.gguf -p x -rtr", "-rtr"),
        ("run a.gguf -p x -fmoe", "-fmoe"),
        ("run a.gguf -p x -cl", "-cl"),
        ("run a.gguf -p x -cl=3", "-cl is not"),
        ("run a.gguf -p x -ser", "-ser"),
        ("run a.gguf -p x -nommq", "-nommq"),
        ("run a.gguf -p x -mla 3", "-mla"),
        ("run a.gguf -p x -eps 1e-5", "-eps"),
        ("run a.gguf -p x -lcs f", "-lcs"),
        ("run a.gguf -p x -gqa 8", "-gqa"),
        ("run a.gguf -p x -snan", "-snan"),
        ("run a.gguf -p x -to 60", "there is no server"),
        ("run a.gguf -p x --host 0.0.0.0", "there is no server"),
        ("chat a.gguf --port 8080", "there is no server"),
        ("run a.gguf -p x --embedding", "there is no server"),
        ("perplexity a.gguf -f t -cnv", "-cnv"),
        ("perplexity a.gguf -f t -bs", "-bs"),
        ("logits a.gguf -p x", "--ids"),
        ("tasks a.gguf -f t", "--hellaswag"),
        ("quantize a b.gguf IQ5_K", "IQ5_K"),
        ("quantize a b.gguf COPY 8", "COPY"),
        ("quantize a b.gguf 4", r#"file type "4""#),
        ("quantize a nosuch", "nosuch"),
        ("quantize a b.gguf", "the file type is missing"),
        (
            "quantize -m a Q4_0",
            "-m is not a flag of `aeolus quantize`",
        ),
        ("inspect -m a", "`aeolus inspect MODEL`"),
        ("hash --model=a", "--model"),
        ("compare -m a -f t", "-m"),
        ("table -m a", "-m"),
        ("run a.gguf -p x -ub", "-ub needs a value"),
        ("chat a.gguf -mli", "-mli"),
        ("chat a.gguf -no-cnv", "aeolus run"),
        ("chat a.gguf --no-jinja", "--no-jinja"),
        ("perplexity -m a.gguf --kl-divergence", "aeolus compare"),
        ("perplexity -m a.gguf --hellaswag -f t.txt", "aeolus tasks"),
        (
            "quantize --leave-output-tensor a b.gguf Q4_0",
            "--leave-output-tensor",
        ),
        ("inspect -hf o/n", "-hf"),
        ("inspect -hx", "-hx"),
    ] {
        let message = translated(line)
            .map(|(line, _)| line)
            .unwrap_err()
            .to_string();
        assert!(message.contains(named), "{line}: {message}");
    }
}

#[test]
fn the_table_names_each_flag_once_and_hides_none_of_ours() {
    let commands = [
        ("run", flags::RUN),
        ("chat", flags::CHAT),
        ("perplexity", flags::PERPLEXITY),
        ("tasks", flags::TASKS),
        ("logits", flags::LOGITS),
        ("tokenize", flags::TOKENIZE),
        ("imatrix", flags::IMATRIX),
        ("quantize", flags::QUANTIZE),
    ];
    for (command, on) in commands {
        let own = own_flags(command);
        assert!(own.contains_key("--help"), "{command}: {own:?}");
        let mut seen = std::collections::HashSet::new();
        for flag in FLAGS.iter().filter(|flag| flag.on & on != 0) {
            for name in flag.names {
                assert!(seen.insert(name), "{command}: {name} twice");
                let is_ours = matches!(flag.fate, Fate::OwnUnless(_));
                assert!(is_ours || !own.contains_key(*name), "{command}: {name}");
            }
            if let Fate::Is(ours) = flag.fate {
                let takes = Some(flag.takes == Takes::Value);
                assert_eq!(own.get(ours).copied(), takes, "{command}: {ours}");
            }
        }
    }
}
