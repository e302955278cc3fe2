"""What do the medication (薬剤情報) and checkup (特定健診) files tell of a person's past care?

Layout: oqs-interface section 3.4. These messages spell the insurance identifiers differently from the eligibility
messages; the fields here carry the same names all the same. Every leaf is the text as it came.
"""

from typing import Annotated

from pipeline.oqs.mapping import Quiet, Tag, Text


class HistoryInquiry(Quiet):
    """The request as the answer repeats it (要求情報)."""

    institution_code: Annotated[Text, Tag("ReqMedicalInstitutionCode")] = None
    insurer_number: Annotated[Text, Tag("ReqInsurerNumber")] = None
    symbol: Annotated[Text, Tag("ReqInsuranceCardSymbol")] = None
    number: Annotated[Text, Tag("ReqInsuredPersonIdentificationNumber")] = None
    branch_number: Annotated[Text, Tag("ReqBranchNumber")] = None
    arbitrary_file_identifier: Annotated[Text, Tag("ReqArbitraryFileIdentifier")] = None
    start: Annotated[Text, Tag("ReqStartDate")] = None
    end: Annotated[Text, Tag("ReqEndDate")] = None
    last: Annotated[Text, Tag("ReqLastDate")] = None
    file_category: Annotated[Text, Tag("ReqFileCategory")] = None
    prescription_view: Annotated[Text, Tag("ReqPrDiInfClassification")] = None
    treatment_flag: Annotated[Text, Tag("ReqMedicalTreatmentFlag")] = None


class Subject(Quiet):
    """The person (資格情報). Each file kind has its own spellings; some writers use KanasName."""

    insurer_number: Annotated[Text, Tag("InsNum"), Tag("InsurerNumber")] = None
    symbol: Annotated[Text, Tag("InsCdSym"), Tag("InsuranceCardSymbol")] = None
    number: Annotated[Text, Tag("InsCdNum"), Tag("InsuredPersonIdentificationNumber")] = None
    branch_number: Annotated[Text, Tag("BrancNum"), Tag("BranchNumber")] = None
    name_kana: Annotated[Text, Tag("KanaName"), Tag("KanasName")] = None
    name_other_kana: Annotated[Text, Tag("KanaName2"), Tag("KanasName2")] = None
    name: Annotated[Text, Tag("Name")] = None
    name_other: Annotated[Text, Tag("Name2")] = None
    birthdate: Annotated[Text, Tag("Birth"), Tag("Birthday")] = None
    age: Annotated[Text, Tag("Age")] = None
    sex1: Annotated[Text, Tag("AdmGendCode"), Tag("AdministrativeGenderCode")] = None
    sex2: Annotated[Text, Tag("AdmGendCode2"), Tag("AdministrativeGenderCode2")] = None
    reference_number: Annotated[Text, Tag("RefNum"), Tag("ReferenceNumber")] = None


class HistoryHeader(Quiet):
    """Head of a medication or checkup answer (sections 3.4.2 and 3.4.5)."""

    process_execution_time: Annotated[Text, Tag("ProcessExecutionTime")] = None
    inquiry: Annotated[HistoryInquiry | None, Tag("RequestInfo")] = None
    subject: Annotated[Subject | None, Tag("QuaInf"), Tag("QualificationsInfo")] = None
    result_code: Annotated[Text, Tag("ResultCode")] = None
    message_id: Annotated[Text, Tag("MessageId")] = None
    message_contents: Annotated[Text, Tag("MessageContents")] = None
    character_code: Annotated[Text, Tag("CharacterCodeIdentifier")] = None


class Drug(Quiet):
    """A drug of a claim (薬剤情報). `quantity` 使用量, `dose` 1回用量, `times` 回数."""

    treatment_class: Annotated[Text, Tag("MeTrIdCl")] = None
    usage_code: Annotated[Text, Tag("UsageC")] = None
    usage: Annotated[Text, Tag("UsageN")] = None
    special_instruction: Annotated[Text, Tag("SpInst")] = None
    code: Annotated[Text, Tag("DrugC")] = None
    name: Annotated[Text, Tag("DrugN")] = None
    ingredient: Annotated[Text, Tag("IngreN")] = None
    unit: Annotated[Text, Tag("Unit")] = None
    quantity: Annotated[Text, Tag("Qua1")] = None
    dose: Annotated[Text, Tag("OnDose")] = None
    times: Annotated[Text, Tag("Times")] = None


class DentalAddition(Quiet):
    """Addition to a dental treatment (歯科診療行為加算)."""

    code: Annotated[Text, Tag("DenMeTrAddCd")] = None
    name: Annotated[Text, Tag("DenMeTrAddNm")] = None
    quantity: Annotated[Text, Tag("DenMeTrAddQua")] = None
    unit: Annotated[Text, Tag("DenMeTrAddUnit")] = None


class Treatment(Quiet):
    """A treatment of a claim (診療情報)."""

    treatment_class: Annotated[Text, Tag("MeTrIdCl")] = None
    code: Annotated[Text, Tag("SinInfCd")] = None
    name: Annotated[Text, Tag("SinInfN")] = None
    unit: Annotated[Text, Tag("Unit")] = None
    quantity: Annotated[Text, Tag("Qua1")] = None
    quantity2: Annotated[Text, Tag("Qua2")] = None
    times: Annotated[Text, Tag("Times")] = None
    dental_additions: Annotated[tuple[DentalAddition, ...], Tag("DenMeTrAddInf", within="DenMeTrAddInfs")] = ()


class ReceiptDay(Quiet):
    """One day of dispensing or treatment in a claim (調剤日・診療日別情報)."""

    day: Annotated[Text, Tag("DiDate")] = None
    prescribed_on: Annotated[Text, Tag("PrDate")] = None
    drugs: Annotated[tuple[Drug, ...], Tag("DrugInf", within="DrugInfs")] = ()
    treatments: Annotated[tuple[Treatment, ...], Tag("MeTrInf", within="MeTrInfs")] = ()


class ReceiptMonth(Quiet):
    """One institution's claims of one month (診療年月別情報)."""

    month: Annotated[Text, Tag("MeTrMonth")] = None
    in_out: Annotated[Text, Tag("InOut")] = None
    group_number1: Annotated[Text, Tag("GrpNum1")] = None
    institution_class: Annotated[Text, Tag("DiOrg")] = None
    group_number2: Annotated[Text, Tag("GrpNum2")] = None
    prescriber_class: Annotated[Text, Tag("PrIsOrg")] = None
    institution_code: Annotated[Text, Tag("MeTrDiHCd")] = None
    institution_name: Annotated[Text, Tag("MeTrDiHNm")] = None
    prescriber_code: Annotated[Text, Tag("PrlsHCd")] = None
    prescriber_name: Annotated[Text, Tag("PrlsHNm")] = None
    days: Annotated[tuple[ReceiptDay, ...], Tag("DiDateInf", within="DiDateInfs")] = ()


class PrescribedDrug(Quiet):
    """A drug of an electronic prescription (処方)."""

    code: Annotated[Text, Tag("ShDrugC")] = None
    name: Annotated[Text, Tag("ShDrugN")] = None
    quantity: Annotated[Text, Tag("ShQua1")] = None
    unit: Annotated[Text, Tag("ShUnit")] = None
    usage: Annotated[Text, Tag("ShUsageN")] = None
    special_instruction: Annotated[Text, Tag("ShSpInst")] = None
    times: Annotated[Text, Tag("ShTimes")] = None
    ingredient: Annotated[Text, Tag("ShIngreN")] = None
    usage_class: Annotated[Text, Tag("ShUsageCl")] = None


class PrescribedDay(Quiet):
    day: Annotated[Text, Tag("ShPrDate")] = None
    drugs: Annotated[tuple[PrescribedDrug, ...], Tag("ShDrugInf", within="ShDrugInfs")] = ()


class PrescribedMonth(Quiet):
    """One institution's electronic prescriptions of one month (処方情報), section 3.4.4."""

    month: Annotated[Text, Tag("ShPrMonth")] = None
    institution_code: Annotated[Text, Tag("ShMeTrDiHCd")] = None
    institution_name: Annotated[Text, Tag("ShMeTrDiHNm")] = None
    prescriber_code: Annotated[Text, Tag("ShPrHCd")] = None
    prescriber_name: Annotated[Text, Tag("ShPrHNm")] = None
    institution_class: Annotated[Text, Tag("ShPrOrg")] = None
    prescriber_class: Annotated[Text, Tag("ShPrIsOrg")] = None
    prescription_class: Annotated[Text, Tag("ShPrCl")] = None
    days: Annotated[tuple[PrescribedDay, ...], Tag("ShPrDateInf", within="ShPrDateInfs")] = ()


class DispensedDrug(Quiet):
    """A drug as dispensed on an electronic prescription (調剤)."""

    code: Annotated[Text, Tag("CzDrugC")] = None
    name: Annotated[Text, Tag("CzDrugN")] = None
    quantity: Annotated[Text, Tag("CzQua1")] = None
    unit: Annotated[Text, Tag("CzUnit")] = None
    usage: Annotated[Text, Tag("CzUsageN")] = None
    special_instruction: Annotated[Text, Tag("CzSpInst")] = None
    times: Annotated[Text, Tag("CzTimes")] = None
    ingredient: Annotated[Text, Tag("CzIngreN")] = None
    usage_class: Annotated[Text, Tag("CzUsageCl")] = None


class DispensedDay(Quiet):
    day: Annotated[Text, Tag("CzDiDate")] = None
    prescribed_on: Annotated[Text, Tag("CzPrDate")] = None
    drugs: Annotated[tuple[DispensedDrug, ...], Tag("CzDrugInf", within="CzDrugInfs")] = ()


class DispensedMonth(Quiet):
    """One pharmacy's dispensing of one month (調剤情報), section 3.4.4."""

    month: Annotated[Text, Tag("CzDiMonth")] = None
    institution_code: Annotated[Text, Tag("CzMeTrDiHCd")] = None
    institution_name: Annotated[Text, Tag("CzMeTrDiHNm")] = None
    prescriber_code: Annotated[Text, Tag("CzPrlsHCd")] = None
    prescriber_name: Annotated[Text, Tag("CzPrlsHNm")] = None
    institution_class: Annotated[Text, Tag("CzDiOrg")] = None
    prescriber_class: Annotated[Text, Tag("CzPrIsOrg")] = None
    prescription_class: Annotated[Text, Tag("CzPrCl")] = None
    days: Annotated[tuple[DispensedDay, ...], Tag("CzDiDateInf", within="CzDiDateInfs")] = ()


class CheckupItem(Quiet):
    """One finding or answer. `code` is a JLAC10 code of 17 characters."""

    code: Annotated[Text, Tag("ItemCode")] = None
    name: Annotated[Text, Tag("ItemName")] = None
    value_type: Annotated[Text, Tag("DataType")] = None
    value: Annotated[Text, Tag("DataValue")] = None
    value_name: Annotated[Text, Tag("DataValueName")] = None
    unit: Annotated[Text, Tag("Unit")] = None
    oid: Annotated[Text, Tag("Oid")] = None


class Checkup(Quiet):
    """One checkup (特定健診情報), section 3.4.5."""

    day: Annotated[Text, Tag("EffectiveTime")] = None
    items: Annotated[
        tuple[CheckupItem, ...],
        Tag("HealthCheckupResultAndQuestionInfo", within="HealthCheckupResultAndQuestionInfos"),
    ] = ()
