import Foundation

func exponential(_ x: Float) -> Float { exp(x) }
func hyperbolicTangent(_ x: Float) -> Float { tanh(x) }
