//! A warning of files that are measured on the text that they were refined on.

use crate::output::say;
use aeolus_eval::Model;
use aeolus_pipeline::REFINE_MARKS_KEY;

/// Says which files were refined on what they are measured on.
pub fn warn_of_overlap(models: &[Model<'_>], measured: &[u32]) {
    for model in models {
        let Ok(Some(marks)) = model.metadata().array(REFINE_MARKS_KEY) else {
            continue;
        };
        let marks = marks.to_vec::<u64>().unwrap_or_default();
        let shared = aeolus_refine::overlap(&marks, measured);
        if shared > 0 {
            say(format_args!(
                "warning: {}: was refined on text that it is measured on ({shared} of its {} calibration \
                 windows): its figures are better than on other texts",
                model.path().display(),
                marks.len()
            ));
        }
    }
}
