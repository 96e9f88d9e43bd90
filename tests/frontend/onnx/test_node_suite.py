"""A fixed sample of ONNX's own node cases; `scripts/onnx_node_suite.py` runs them all."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CASES = """
abs acosh add_bcast and_bcast3v1d argmax_keepdims_example_select_last_index argmin_negative_axis_keepdims_random
averagepool_2d_ceil averagepool_2d_pads_count_include_pad averagepool_3d_dilations_small basic_conv_with_padding
batchnorm_epsilon batchnorm_example_training_mode bitshift_left_uint8 bitshift_right_int32_negative_shift
bitwise_not_2d cast_FLOAT_to_BFLOAT16 cast_FLOAT16_to_DOUBLE castlike_BFLOAT16_to_FLOAT ceil celu
center_crop_pad_crop_and_pad clip_default_int8_min clip_min_greater_than_max col2im_pads col2im_5d
concat_3d_axis_negative_1 constant constantofshape_int_shape_zero conv_with_strides_and_asymmetric_padding
convtranspose_autopad_same convtranspose_dilations convtranspose_output_shape convtranspose_pads cumprod_1d_reverse
cumsum_2d_negative_axis cumsum_1d_reverse_exclusive depthtospace_crd_mode_example div_int32_trunc dropout_default_mask
einsum_batch_diagonal einsum_batch_matmul elu equal_bcast erf expand_dim_changed eyelike_with_dtype flatten_axis2
gather_elements_negative_indices gather_negative_indices gathernd_example_int32_batch_dim1 gelu_tanh_1
gemm_all_attributes gemm_default_scalar_bias globalmaxpool group_normalization_epsilon hardmax_negative_axis hardswish
instancenorm_epsilon isinf_negative isnan_float16 l1normalization_axis_1 layer_normalization_3d_axis1_epsilon
leakyrelu logsoftmax_large_number lppool_2d_dilations lrn matmul_1d_3d matmul_4d max_int8 max_uint64 maxpool_1d_default
maxpool_2d_ceil_output_size_reduce_by_one maxpool_2d_dilations maxpool_2d_uint8
maxpool_with_argmax_2d_precomputed_strides maxunpool_export_with_output_shape mean_two_inputs min_float16 mish
mod_mixed_sign_float16 mod_mixed_sign_int8 mod_uint64 mvn onehot_negative_indices onehot_with_negative_axis or_bcast4v2d
constant_pad_axes edge_pad reflect_pad wrap_pad constant_pad_negative_axes pow_types_int64_float32 prelu_broadcast
range_int32_type_negative_delta reciprocal reduce_l1_keep_dims_random reduce_l2_do_not_keepdims_example
reduce_log_sum_exp_empty_set reduce_max_bool_inputs reduce_min_empty_set reduce_mean_negative_axes_keepdims_random
reduce_prod_empty_set reduce_sum_empty_axes_input_noop reshape_allowzero_reordered reshape_zero_and_negative_dim
resize_downsample_scales_cubic_antialias resize_downsample_sizes_nearest_not_larger resize_tf_crop_and_resize
resize_upsample_scales_cubic_A_n0p5_exclude_outside resize_upsample_scales_linear_align_corners
resize_upsample_sizes_nearest_round_prefer_ceil_asymmetric reversesequence_batch rms_normalization_4d_axis_negative_2
round scatter_elements_with_duplicate_indices scatter_elements_with_reduction_max scatternd_add
scatternd_max shape_start_1_end_negative_1 shrink_hard sign size slice_default_steps slice_negative_axes slice_neg_steps
slice_start_out_of_bounds softmax_axis_1_expanded_ver18 softplus softsign spacetodepth_example
split_variable_parts_2d_opset18 split_zero_size_splits_opset18 squeeze_negative_axes swish thresholdedrelu tile
top_k_smallest top_k_same_values_2d transpose_all_permutations_3 tril_out_neg triu_square_neg unsqueeze_unsorted_axes
upsample_nearest where_long_example xor_bcast4v3d
"""


def _script(repository: Path) -> ModuleType:
    path = repository / "scripts" / "onnx_node_suite.py"
    spec = importlib.util.spec_from_file_location("onnx_node_suite", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def suite(repository: Path) -> tuple[ModuleType, dict[str, Any]]:
    script = _script(repository)
    return script, {case.name.removeprefix("test_"): case for case in script.load_cases()}


@pytest.mark.parametrize("name", CASES.split())
def test_case(suite: tuple[ModuleType, dict[str, Any]], name: str) -> None:
    script, cases = suite
    result = script.run_case(cases[name], "vm")
    assert result["status"] in script.PASSED, result


def test_a_wrong_answer_is_seen(suite: tuple[ModuleType, dict[str, Any]]) -> None:
    """The sample would be worth nothing if the comparison let anything pass."""
    script, cases = suite
    ((_, expected),) = cases["relu" if "relu" in cases else "abs"].data_sets
    assert script.difference(expected, expected, 1e-3, 1e-7) == ""
    assert "elements differ" in script.difference([expected[0] + 1], expected, 1e-3, 1e-7)
    assert "was expected" in script.difference([expected[0].astype("float64")], expected, 1e-3, 1e-7)
