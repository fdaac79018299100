# SPDX-License-Identifier: Apache-2.0
"""The two networks of `pandion-nano`: a small SAM and a small Osprey."""
