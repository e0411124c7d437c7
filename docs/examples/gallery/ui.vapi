/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: 2026 The backingstore authors */

/* Defined where the gallery is compiled. */
[CCode (cname = "GALLERY_UI")]
extern const string GALLERY_UI;
