//! The 4-bit floats of MXFP4 and NVFP4 (E2M1): sign, two bits of exponent, one of mantissa.
//! Specified in OCP Microscaling Formats (MX) 1.0.

/// The floats, doubled, so that they are integers.
pub(crate) const VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// The middles between neighbouring magnitudes. What lies on one goes down.
const MIDDLES: [f32; 7] = [0.5, 1.5, 2.5, 3.5, 5.0, 7.0, 10.0];

/// The codes of the floats nearest to the values, which are doubled floats times `scale`.
///
/// The reference compares the distances to all floats. Near a middle the differences are exact, so
/// it comes to the same.
#[inline(always)]
pub(super) fn codes<const N: usize>(x: &[f32; N], scale: f32) -> [u8; N] {
    // Under a scale of 0 all distances are equal, and the first code wins.
    let middles = match scale == 0.0 {
        true => [f32::INFINITY; 7],
        false => MIDDLES.map(|m| m * scale),
    };
    let mut codes = [0u8; N];
    for (code, v) in codes.iter_mut().zip(x) {
        let mut magnitude = 0;
        for middle in middles {
            magnitude += u32::from(v.abs() > middle);
        }
        // Not the second zero.
        let negative = (v.to_bits() >> 31) & u32::from(magnitude != 0);
        *code = (magnitude | (negative << 3)) as u8;
    }
    codes
}
