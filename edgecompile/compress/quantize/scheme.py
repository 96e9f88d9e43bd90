"""`LayerScheme`: how one layer is quantized."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from edgecompile.compress.strict import Strict

WeightDtype = Literal["int8", "int4", "float16", "bfloat16", "none"]
ActivationDtype = Literal["int8", "uint8", "int16", "none"]
Granularity = Literal["per_tensor", "per_channel", "per_group"]

INTEGER_BITS = {"int4": 4, "int8": 8, "uint8": 8, "int16": 16}


class CalibrationMethod(Strict):
    """How the range of a tensor is chosen from what the observers saw."""

    def model_post_init(self, context: Any) -> None:
        """The method counts as given, so that it is never left out where only what was given is written."""
        self.__pydantic_fields_set__.add("method")


class MinMax(CalibrationMethod):
    """The range is the smallest and the largest value seen."""

    method: Literal["min_max"] = "min_max"


class MovingAverage(CalibrationMethod):
    """The range is an exponential moving average of each sample's smallest and largest value.

    Attributes:
        rate: the weight of the newest sample.
    """

    method: Literal["moving_average"] = "moving_average"
    rate: Annotated[float, Field(gt=0, le=1)] = 0.01


class Percentile(CalibrationMethod):
    """The range leaves out the outermost values on both sides.

    Attributes:
        percent: how many of 100 values lie inside.
    """

    method: Literal["percentile"] = "percentile"
    percent: Annotated[float, Field(gt=50, le=100)] = 99.99


class MeanSquaredError(CalibrationMethod):
    """The range whose rounded values differ least, squared, from the real ones."""

    method: Literal["mse"] = "mse"


class KullbackLeibler(CalibrationMethod):
    """The range whose quantized histogram has the least relative entropy to the real one.

    Source: S. Migacz, "8-bit Inference with TensorRT", GTC 2017.
    """

    method: Literal["kl"] = "kl"


def _from_method(data: Any) -> Any:
    """A method's bare name stands for its defaults."""
    return {"method": data} if isinstance(data, str) else data


Calibration = Annotated[
    Annotated[MinMax | MovingAverage | Percentile | MeanSquaredError | KullbackLeibler, Field(discriminator="method")],
    BeforeValidator(_from_method),
]


class WeightScheme(Strict):
    """How the constant weights of a layer are stored.

    Attributes:
        dtype: "none" keeps them as they are; float16 and bfloat16 are storage only. int4 beside integer activations
            are integers from -7 to 7, each in a byte.
        bits: of one code where `method` is not uniform: 2^bits different values; None means all of the dtype's bits.
        symmetric: the zero point is 0.
        granularity: what shares one scale; see `granularity.scale_shape`.
        group_size: consecutive weights of one output channel that share a scale, along the channels that are summed;
            only with "per_group".
        method: "uniform" is `scale * (code - zero_point)`; "codebook" looks the value up among 2^bits that k-means
            found; "power_of_two" has only values of the form scale * +-2^-k, and zero.

    Source of the codebook: S. Han et al., "Deep Compression", ICLR 2016; of power_of_two: A. Zhou et al., "Incremental
    Network Quantization", ICLR 2017.
    """

    dtype: WeightDtype = "int8"
    bits: Annotated[int, Field(ge=2, le=8)] | None = None
    symmetric: bool = True
    granularity: Granularity = "per_channel"
    group_size: Annotated[int, Field(ge=2, le=1 << 20)] | None = None
    method: Literal["uniform", "codebook", "power_of_two"] = "uniform"

    @property
    def is_integer(self) -> bool:
        """True when the weights become integer codes."""
        return self.dtype in INTEGER_BITS

    @property
    def code_bits(self) -> int:
        """Bits of one code; 0 where there are no codes."""
        return self.bits or INTEGER_BITS.get(self.dtype, 0)


class ActivationScheme(Strict):
    """How the tensors that a layer reads and writes are stored.

    Attributes:
        dtype: "none" keeps them as they are. uint8 is int8 with every number moved by 128: the results are the same.
        symmetric: the zero point is 0 (128 for uint8); dynamic activations are symmetric whatever it says.
        mode: "static" has scales from calibration; "dynamic" computes them from each tensor as it comes.
        granularity: "per_tensor" has one scale; "per_row", of dynamic activations, one for each row (token),
            `[*rows, 1]` of `[*rows, K]`. None is per_tensor where they are static and per_row where they are dynamic.
    """

    dtype: ActivationDtype = "int8"
    symmetric: bool = False
    mode: Literal["static", "dynamic"] = "static"
    granularity: Literal["per_tensor", "per_row"] | None = None

    @property
    def is_integer(self) -> bool:
        """True when the activations become integers."""
        return self.dtype != "none"

    @property
    def is_dynamic(self) -> bool:
        """True when the scales are found at run time."""
        return self.is_integer and self.mode == "dynamic"

    @property
    def has_row_scales(self) -> bool:
        """True when each row has a scale of its own."""
        return self.is_dynamic and self.granularity != "per_tensor"


class LayerScheme(Strict):
    """How one layer is quantized.

    In a rule of a recipe, a key that is not given is taken from the rules before it.

    Attributes:
        weights, activations: how they are stored.
        calibration: how the range of an activation is chosen from data; None where no data are needed.
        equalize: scale channels of consecutive layers so that their weights have like ranges (M. Nagel et al.,
            "Data-Free Quantization", ICCV 2019).
        bias_correction: move the bias by the mean error that quantized weights make on the calibration data (the same).
        rounding: of the weights: "adaround" (M. Nagel et al., "Up or Down?", ICML 2020) and "gptq" (E. Frantar et al.,
            ICLR 2023) choose up or down by what it does to the layer's output.
        smooth: move the activations' range into the weights by this exponent, from 0 to 1; None does not (G. Xiao et
            al., "SmoothQuant", ICML 2023).
        reduce_range: weights use 7 bits, from -63 to 63, so that sums of two products fit 16 bits.
        attention: products of two activations are computed in int8 too; without it they stay float, and one kernel
            takes a whole attention.
        nonlinear: how softmax and layer normalization compute: "float", rounding what integers read of their results,
            or "integer", from int8 to int8 by integer arithmetic alone, the same bits on every target.
        skip: the layer stays as it is; nothing else counts then.
    """

    weights: WeightScheme = WeightScheme()
    activations: ActivationScheme = ActivationScheme()
    calibration: Calibration | None = MinMax()
    equalize: bool = False
    bias_correction: bool = False
    rounding: Literal["nearest", "adaround", "gptq"] = "nearest"
    smooth: Annotated[float, Field(ge=0, le=1)] | None = None
    reduce_range: bool = False
    attention: bool = False
    nonlinear: Literal["float", "integer"] = "float"
    skip: bool = False

    def changed_by(self, rule: LayerScheme) -> LayerScheme:
        """This scheme with the keys that `rule` was given; its `calibration` replaces the former as a whole."""
        given: dict[str, Any] = {name: getattr(rule, name) for name in rule.model_fields_set}
        for name in ("weights", "activations"):
            if name in given:
                part = getattr(self, name)
                inner = {key: getattr(given[name], key) for key in given[name].model_fields_set}
                given[name] = part.model_copy(update=inner)
        return self.model_copy(update=given)
