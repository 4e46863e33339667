"""The instrument that most tests use, and its grid."""

from napari_sfh.instruments.files import load_instrument

MUSE_HST = load_instrument("muse-hst")
WAVE_AA = MUSE_HST.wave_aa
N_WAVE = MUSE_HST.n_wave
STEP_AA = MUSE_HST.grid.step_aa
NORM_PIXELS = MUSE_HST.norm_pixels
NORM_WINDOW_AA = MUSE_HST.grid.norm_window_aa
SIGMA_TARGET_KMS = MUSE_HST.grid.sigma_kms
BANDS = MUSE_HST.band_names
