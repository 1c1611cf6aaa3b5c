//! scratch
use fortress_qemu::*;
struct P;
impl fortress_progress::Observer for P {
    fn stage(
        &self,
        n: &str,
        _: Option<u64>,
        _: fortress_progress::Unit,
    ) -> Box<dyn fortress_progress::Stage> {
        eprintln!("stage {n}");
        Box::new(P)
    }
    fn note(&self, l: &str) {
        eprintln!("note {l}")
    }
    fn warn(&self, l: &str) {
        eprintln!("warn {l}")
    }
}
impl fortress_progress::Stage for P {
    fn advance(&self, _: u64) {}
    fn doing(&self, w: &str) {
        eprintln!("doing {w}")
    }
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let mut t = BootTest::new(&a[1], &a[2]);
    t.timeout = std::time::Duration::from_secs(150);
    t.keep = true;
    if a.len() > 3 {
        t.firmware = Firmware::Direct {
            kernel: a[3].clone().into(),
            initrd: Some(a[4].clone().into()),
            command_line: a[5].clone(),
        };
    }
    t.plan = vec![Step::Boot, Step::Reboot(RebootBy::PowerButton)];
    if a.len() > 3 {
        println!("bare {:?}", bare_kernel(a[3].as_ref(), "quiet", &t, &P));
    }
    match run(&t, &P) {
        Ok(r) => {
            println!("{r}");
            std::fs::write("/tmp/q/r.json", r.to_json()).ok();
        }
        Err(e) => println!("{e}"),
    }
}
