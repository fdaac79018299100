# SPDX-License-Identifier: Apache-2.0
"""Synthetic table-top scenes for `pandion-nano`: pictures, part masks and phrases."""
